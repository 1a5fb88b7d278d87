// SPDX-License-Identifier: Apache-2.0
// Merged models of many families and dtypes against PEFT's merge_and_unload, and opened by
// transformers; refusals, after which nothing is there.
#include "workers/merge/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/io/file.h"
#include "tests/golden/oracle.h"
#include "workers/checkpoint/manifest.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/safetensors.h"
#include "workers/model/weight_files.h"

namespace anamnesis::merge {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::vector<std::string> kCases = {"plain/f32",          "linear_bias_rslora/f32",
                                         "llama3_saved/f32",   "tied/f32",
                                         "tied_saved/f32",     "phi/f32",
                                         "phi3/f32",           "gemma2/f32",
                                         "qwen2/f32",          "gemma3_nested/f32",
                                         "plain/bf16",         "llama3_saved/bf16",
                                         "phi3/bf16",          "plain/f16",
                                         "llama/nf4",          "bias_lora_only/f32",
                                         "bias_lora_only/bf16"};

class Merging : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!golden::OracleIsPresent()) return;
    root_ = golden::ScratchDirectory("merge");
    int status = 0;
    const std::string said = golden::RunOracle("merge/make_merge.py", Arguments(), &status);
    ASSERT_EQ(status, 0) << said;
  }
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  }
  static std::string Arguments() {
    std::string arguments = root_;
    for (const std::string& name : kCases) arguments += " " + name;
    return arguments;
  }
  static MergeOptions Options(const std::string& name, const std::string& out) {
    const std::string folder = root_ + "/" + name;
    return {folder + "/adapter", folder + "/" + out, ""};
  }
  // A copy of a case's adapter whose A, all in fp32, are `edit` of what they were.
  template <typename Edit>
  static std::string AdapterWith(const std::string& of, const std::string& name, const Edit& edit) {
    const std::string copy = root_ + "/adapter-" + name;
    fs::copy(root_ + "/" + of + "/adapter", copy);
    const std::string path = copy + "/adapter_model.safetensors";
    const auto file = model::SafetensorsFile::Open(path);
    std::string bytes = *ReadFile(path);
    const model::StoredTensor& last = file->tensors().back();
    const uint64_t data = bytes.size() - last.offset - last.size_bytes;
    for (const model::StoredTensor& tensor : file->tensors()) {
      if (tensor.name.find("lora_A") == std::string::npos) continue;
      EXPECT_EQ(tensor.type, model::StoredType::kF32);
      for (uint64_t at = 0; at < tensor.size_bytes; at += sizeof(float)) {
        float value = 0;
        std::memcpy(&value, bytes.data() + data + tensor.offset + at, sizeof(value));
        value = edit(value);
        std::memcpy(bytes.data() + data + tensor.offset + at, &value, sizeof(value));
      }
    }
    EXPECT_TRUE(WriteFileDurably(path, bytes).ok());
    return copy;
  }
  static void WriteManifest(const std::string& adapter, const std::string& base_sha256) {
    checkpoint::Manifest manifest;
    manifest.base_model_sha256 = base_sha256;
    EXPECT_TRUE(
        WriteFileDurably(adapter + "/manifest.json", checkpoint::ManifestText(manifest)).ok());
  }
  static void ExpectRefused(const MergeOptions& options, int exit_code, const std::string& words) {
    const Status status = Merge(options).status();
    EXPECT_EQ(ExitCodeOf(status), exit_code) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr(words));
    const fs::path out(options.out);
    for (const auto& entry : fs::directory_iterator(out.parent_path())) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(out.filename().string()))
          << entry.path();
    }
  }

  static std::string root_;
};
std::string Merging::root_;

TEST_F(Merging, GivesTheBitsOfPeftAndOpensInTransformers) {
  for (const std::string& name : kCases) {
    const auto report = Merge(Options(name, "merged"));
    ASSERT_TRUE(report.ok()) << name << ": " << report.status();
    std::cout << name << ": our logits differ by " << report->parity.relative()
              << " of the largest\n";
    EXPECT_LE(report->parity.relative(), report->parity.tolerance / 2) << name;
    EXPECT_EQ(ReadJsonFile(root_ + "/" + name + "/merged/merge.json")->at("merged_layers"),
              report->merged_layers);
    EXPECT_EQ(report->base_is_packed, name.ends_with("nf4"));
  }
  int status = 0;
  const std::string said = golden::RunOracle("merge/merge_opens.py", Arguments(), &status);
  EXPECT_EQ(status, 0) << said;
  std::cout << said.substr(said.find(kCases.front()));
}

TEST_F(Merging, TakesAnEmptyFolderAndNoOther) {
  MergeOptions options = Options("plain/f32", "there");
  ASSERT_TRUE(MakeDirectories(options.out).ok());
  EXPECT_TRUE(Merge(options).ok());
  const Status status = Merge(options).status();
  EXPECT_EQ(ExitCodeOf(status), 5) << status;
  EXPECT_THAT(MessageOf(status), HasSubstr("expected a new or an empty folder"));
}

TEST_F(Merging, TellsTheBaseByTheManifest) {
  const std::string adapter = AdapterWith("plain/f32", "own", [](float a) { return a / 2; }),
                    base = root_ + "/plain/f32/base";
  const std::string digest = *model::ModelDigest(base);
  WriteManifest(adapter, digest);
  EXPECT_TRUE(Merge({adapter, root_ + "/own", ""}).ok());
  WriteManifest(adapter, model::PackedDigest(digest));
  const auto packed = Merge({adapter, root_ + "/own-packed", base});
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_TRUE(packed->base_is_packed);
  EXPECT_THAT(packed->notes, testing::Contains(HasSubstr("dequantised")));
  WriteManifest(adapter, std::string(64, '0'));
  ExpectRefused({adapter, root_ + "/foreign", ""}, 6, "trained on another base");
}

TEST_F(Merging, RefusesABaseOfOtherShapesOrThatIsNotThere) {
  const std::string adapter = root_ + "/plain/f32/adapter";
  ExpectRefused({adapter, root_ + "/shapes", root_ + "/llama/nf4/base"}, 6,
                "the tensors do not fit adapter_config.json");
  ExpectRefused({adapter, root_ + "/absent", root_ + "/no-such-base"}, 6, "--base");
  ExpectRefused({root_, root_ + "/no-adapter", ""}, 6, "adapter_config.json");
}

TEST_F(Merging, RefusesWeightsThatAreNotFinite) {
  const std::string nan = AdapterWith("plain/f32", "nan", [](float) { return NAN; });
  ExpectRefused({nan, root_ + "/nan", ""}, 6, "has a NaN or an infinity");
  const std::string huge = AdapterWith("plain/f32", "huge", [](float) { return 3e38f; });
  ExpectRefused({huge, root_ + "/huge", ""}, 6, "infinity");
}

TEST_F(Merging, RefusesAnUpdateThatTheBasesDtypeCannotHold) {
  // In bfloat16 the sum loses what the weights had.
  const auto widen = [](float a) { return 30 * a; };
  const std::string wide = AdapterWith("plain/bf16", "wide", widen);
  ExpectRefused({wide, root_ + "/wide", ""}, 6, "the merged model's logits differ by");
  EXPECT_TRUE(Merge({AdapterWith("plain/f32", "wide-f32", widen), root_ + "/wide-f32", ""}).ok());
}

}  // namespace
}  // namespace anamnesis::merge
