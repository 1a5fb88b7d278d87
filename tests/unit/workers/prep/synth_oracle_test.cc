// SPDX-License-Identifier: Apache-2.0
// Stock transformers opens the base model of a synthetic cohort, with our ids.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/unit/workers/prep/synth_folder.h"
#include "workers/prep/synth_narratives.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::prep {
namespace {

constexpr const char* kProgram = R"(
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
base, texts = sys.argv[1], sys.argv[2]
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoModelForCausalLM.from_pretrained(base)
ids = [tokenizer(line).input_ids for line in open(texts, encoding="utf-8").read().splitlines()]
logits = model(input_ids=__import__("torch").tensor(ids[:1])).logits
json.dump({"ids": ids, "eos": tokenizer.eos_token_id, "shape": list(logits.shape),
           "parameters": sum(p.numel() for p in model.parameters()),
           "dtype": str(model.dtype), "finite": bool(logits.isfinite().all())},
          open(sys.argv[3], "w"))
)";

TEST(SynthBase, IsOpenedByTransformersWithTheSameIds) {
  const char* source = std::getenv("ANAMNESIS_SOURCE_DIR");
  if (source == nullptr || !PathExists(Cat(source, "/.deps/oracle/stamp"))) {
    GTEST_SKIP() << "oracle absent";
  }
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 60});
  auto narratives = SynthNarratives::Open(folder.Path("c"));
  ASSERT_TRUE(narratives.ok()) << narratives.status();
  std::vector<std::string> texts;
  ASSERT_TRUE((*narratives)
                  ->ReadSplit("tuning",
                              [&](const stream::Narrative& narrative) {
                                texts.push_back((*narratives)->Text(narrative));
                                return absl::OkStatus();
                              })
                  .ok());
  std::ofstream(folder.Path("open.py")) << kProgram;
  {
    std::ofstream lines(folder.Path("texts"));
    for (const std::string& text : texts) lines << text << "\n";
  }
  const std::string command = Cat("'", source, "/tools/oracle' '", folder.Path("open.py"), "' '",
                                  folder.Path("c/base"), "' '", folder.Path("texts"), "' '",
                                  folder.Path("result.json"), "' 2> '", folder.Path("stderr"), "'");
  ASSERT_EQ(std::system(command.c_str()), 0) << *ReadFile(folder.Path("stderr"));
  const Json result = *ReadJsonFile(folder.Path("result.json"));

  const auto tokenizer = text::Tokenizer::FromDirectory(folder.Path("c/base"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(result["eos"], *(*tokenizer)->eos_id());
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> ids = (*tokenizer)->prefix_ids();
    const auto encoding = (*tokenizer)->Encode(texts[i], false);
    ids.insert(ids.end(), encoding->ids.begin(), encoding->ids.end());
    EXPECT_TRUE(result["ids"][i] == Json(ids)) << "narrative " << i;
  }
  EXPECT_EQ(result["shape"][2], (*tokenizer)->vocab_size());
  EXPECT_EQ(result["dtype"], "torch.float32");
  EXPECT_TRUE(result["finite"]);
  EXPECT_GT(result["parameters"], 300'000);
}

}  // namespace
}  // namespace anamnesis::prep
