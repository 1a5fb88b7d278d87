// SPDX-License-Identifier: Apache-2.0
// QLoRA on every decoder family: logits, loss and every gradient on a base in NF4 with double
// quantisation, against HF + PEFT in fp64 on the weights that bitsandbytes decodes
// (make_qlora_golden.py), beside the error of HF + PEFT + bitsandbytes. The gate and the table are
// parity_gate.h's.
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "tests/golden/oracle.h"
#include "tests/golden/parity_gate.h"

namespace anamnesis::golden {
namespace {

const std::string& QloraGoldens() {
  static const std::string directory = [] {
    const std::string path = ScratchDirectory("qlora");
    int status = 0;
    const std::string output = RunOracle("make_qlora_golden.py", path, &status);
    if (status == 0) return path;
    std::cerr << output;
    return std::string();
  }();
  return directory;
}

class QloraFamilies : public ParityCase {
 protected:
  void SetUp() override {
    if (!OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    OpenCase(QloraGoldens(), "nf4");
  }
};

TEST_P(QloraFamilies, InFp64EqualsTheDecodedModelTo1e10) { ExpectEqualInFp64(); }

TEST_P(QloraFamilies, InFp32ErrsAtMost1Point5TimesAsBitsandbytes) {
  ExpectWithinGate(at::kFloat, "f32", GetParam() + " QLoRA f32");
}

TEST_P(QloraFamilies, InBf16ErrsAtMost1Point5TimesAsBitsandbytes) {
  ExpectWithinGate(at::kBFloat16, "bf16", GetParam() + " QLoRA bf16");
}

TEST_P(QloraFamilies, EveryLayerButTheHeadIsInFourBits) {
  const auto trainable = Open(at::kFloat);
  ASSERT_NE(trainable, nullptr);
  for (const model::Linear* linear : trainable->base().linears()) {
    EXPECT_EQ(linear->packed != nullptr, linear->name != "lm_head") << linear->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, QloraFamilies,
                         testing::Values("plain", "mistral", "phi", "phi3", "gemma", "gemma2",
                                         "gemma3", "qwen2", "qwen3"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace anamnesis::golden
