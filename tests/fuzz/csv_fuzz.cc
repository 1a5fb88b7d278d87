// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/prep/csv.h"

std::vector<std::string> FuzzSeeds() {
  return {
      "\xEF\xBB\xBF"
      "code,term\r\nA,\"b \"\"c\"\"\nd\"\r\n\r\ne,\xc3\xa9\n",
      "a\n1", "a,b,c\n,,\n\"\",\"\",\"\"\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto table = anamnesis::prep::CsvTable::Parse(bytes, "fuzz");
  std::vector<std::string> fields;
  while (table.ok()) {
    const auto found = table->Next(&fields);
    if (!found.ok() || !*found) break;
    for (const std::string& field : fields) {
      if (!anamnesis::prep::IsUtf8(field)) __builtin_trap();
    }
  }
  return 0;
}
