// SPDX-License-Identifier: Apache-2.0
// Vocabulary, labels and lookups, and every token through the rule table.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/prep/csv.h"
#include "workers/prep/rules.h"
#include "workers/prep/tables.h"

std::vector<std::string> FuzzSeeds() {
  return {
      "token,str,count\n0,<unknown>,0\n1,<start>,9\n3,AGE_decile_5,9\n5,MEDICAL//C10,9\n6,LAB//"
      "GLUCOSE_5,9\n"
      "7,<time_interval_4d-7d>,9\n8,Q7,1\n9,1e-05,1\n10,very low,1\n11,BMI//Q6,2\n12,REGION//7,1\n",
      "subject_id,is_case,site,cancerdate\n1,0,,\n2,1,lung,2020-02-29\n-3,1,x,2020-02-29 "
      "10:00:00\n",
      "code,term\nA,b\na,c\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anamnesis::prep;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto labels = Labels::Parse(bytes, "fuzz");
  const auto lookup = Lookup::Parse(bytes, "fuzz", "code", "term");
  const auto vocabulary = Vocabulary::Parse(bytes, "fuzz");
  if (!vocabulary.ok()) return 0;
  for (const Vocabulary::Entry& entry : vocabulary->entries()) {
    const Rendering rendering = RenderToken(entry.token, {}, UnknownTokens::kKeepCode);
    const bool silent = rendering.phrase.kind == anamnesis::shard::PhraseKind::kSilent;
    if (silent != rendering.phrase.text.empty() || !IsUtf8(rendering.phrase.text)) __builtin_trap();
  }
  return 0;
}
