// SPDX-License-Identifier: Apache-2.0
// A small cohort in the seed layout in a temporary directory, for tests. It holds the README's
// example as subject 1.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/config/job_config.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/workers/prep/pickle_writer.h"

namespace anamnesis::prep {

inline void WriteText(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class MadeCohort {
 public:
  MadeCohort() {
    WriteText(Path("vocab.csv"),
              "token,str,count\n0,<unknown>,0\n1,<start>,9\n2,<end>,9\n3,AGE_decile_5,9\n4,GENDER//"
              "FEMALE,9\n"
              "5,MEDICAL//C10,9\n6,LAB//GLUCOSE_5,9\n7,<time_interval_4d-7d>,9\n8,mmol/L,9\n");
    WriteText(Path("labels.csv"),
              "subject_id,is_case,site,cancerdate\n1,0,,\n2,1,stomach,2020-03-31\n3,0,,\n4,1,lung,"
              "\n5,0,,\n");
    WriteText(Path("medical_lookup.csv"), "code,term\nC10,Diseases of the circulatory system\n");
    WriteText(Path("lab_lookup.csv"), "code,term\nGLUCOSE,Glucose\n");
    Split("train/0.pkl",
          {{1, {1, 3, 4, 5, 6, 2}, {0, 0, 0, -5.5, 100, 100}},
           // 2020-02-29 00:00 UTC is the cut of subject 2 at one month.
           {2, {1, 3, 5, 7, 6, 2}, {0, 0, 1582934399, 1582934400, 1582934400, 1582934401}}});
    Split("train/1.pkl", {{3, {1, 8, 2}, {0, 5, 5}}});
    Split("tuning/0.pkl", {{5, {1, 2}, {0, 0}}});
  }
  MadeCohort(const MadeCohort&) = delete;
  MadeCohort& operator=(const MadeCohort&) = delete;

  std::string Path(const std::string& name) const { return folder_.File(name); }
  void Split(const std::string& name, const std::vector<TestSubject>& subjects) const {
    WriteText(Path(name), PickleOf(subjects));
  }
  config::DataSection Data() const {
    config::DataSection data;
    data.data_dir = folder_.path();
    data.vocab_filepath = Path("vocab.csv");
    data.labels_filepath = Path("labels.csv");
    data.medical_lookup_filepath = Path("medical_lookup.csv");
    data.lab_lookup_filepath = Path("lab_lookup.csv");
    data.cutoff_months = 1;
    return data;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace anamnesis::prep
