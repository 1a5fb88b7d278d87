// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/options.h"

#include <gtest/gtest.h>

#include <sstream>

#include "common/io/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/common/repository_files.h"

namespace anamnesis::launch {
namespace {

std::string NoEnvironment(const char*) { return ""; }

StatusOr<KubernetesOptions> Parse(std::vector<std::string> words) {
  for (const char* word : {"api_server=https://10.0.0.1:6443", "namespace=ml", "image=r/w:1"}) {
    words.push_back(word);
  }
  return ParseKubernetesOptions(words, NoEnvironment, "/nonexistent");
}

TEST(KubernetesOptions, AreTyped) {
  const auto options =
      Parse({"mount=data:/data", "mount=models:/models:ro", "toleration=gpu=yes:NoSchedule",
             "toleration=spot", "node_selector=pool=gpu", "env=HF_HOME=/data/hf", "grace=10m",
             "gpus_per_rank=1", "cpu_per_rank=1500m", "memory_per_rank=1.5Gi", "queue=team-a",
             "owner=StatefulSet/anamnesis"});
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->mounts.size(), 2u);
  EXPECT_TRUE(options->mounts[1].read_only);
  EXPECT_EQ(options->mounts[1].path, "/models");
  EXPECT_EQ(options->tolerations[0].effect, "NoSchedule");
  EXPECT_EQ(options->tolerations[1].value, "");
  EXPECT_EQ(options->environment.at("HF_HOME"), "/data/hf");
  EXPECT_EQ(options->grace, absl::Minutes(10));
}

TEST(KubernetesOptions, EveryWrongWordIsNamed) {
  for (const char* word : {"nonsense",
                           "pool=gpu",
                           "grace=soon",
                           "grace=0s",
                           "gpus_per_rank=2",
                           "mount=data",
                           "mount=data:relative",
                           "mount=/data:/data",
                           "toleration=a:Never",
                           "env=1A=x",
                           "node_selector=pool",
                           "api_server=http://10.0.0.1",
                           "api_server=https://h/path",
                           "image=",
                           "image=a b",
                           "cpu_per_rank=four",
                           "memory_per_rank=-1Gi",
                           "owner=Node/x",
                           "name=Anamnesis",
                           "name=a-name-of-more-than-thirty-characters",
                           "namespace=two",
                           "worker_address=nowhere",
                           "queue=two words",
                           "user=-1"}) {
    const auto options = Parse({word});
    ASSERT_FALSE(options.ok()) << word;
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << word;
  }
  const auto both = Parse({"pool=gpu", "grace=soon"});
  EXPECT_NE(MessageOf(both.status()).find("'pool' is no key"), std::string::npos);
  EXPECT_NE(MessageOf(both.status()).find("'soon' is no time"), std::string::npos);
}

TEST(KubernetesOptions, APodKnowsItsServerTokenAndNamespace) {
  const TemporaryFolder folder;
  for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
           {"token", "t\n"}, {"ca.crt", "c"}, {"namespace", "ml\n"}}) {
    ASSERT_TRUE(WriteFileDurably(folder.path() + "/" + name, content).ok());
  }
  const auto environment = [](const char* name) -> std::string {
    return std::string(name) == "KUBERNETES_SERVICE_HOST" ? "fd00::1" : "443";
  };
  const auto options = ParseKubernetesOptions({"image=r/w:1"}, environment, folder.path());
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->api_server, "https://[fd00::1]:443");
  EXPECT_EQ(options->token_file, folder.path() + "/token");
  EXPECT_EQ(options->name_space, "ml");
}

TEST(KubernetesOptions, EveryKeyIsInTheDocument) {
  const std::string document = testing::Slurp(testing::SourceFile("docs/kubernetes.md"));
  std::istringstream lines(DescribeKubernetesOptions());
  for (std::string line; std::getline(lines, line);) {
    const std::string key = "`" + line.substr(0, line.find('=')) + "`";
    EXPECT_NE(document.find(key), std::string::npos) << key;
  }
}

TEST(KubernetesOptions, WhatIsMissingIsNamed) {
  const auto no_server = ParseKubernetesOptions({"image=r/w:1"}, NoEnvironment, "/nonexistent");
  EXPECT_NE(MessageOf(no_server.status()).find("api_server="), std::string::npos);
  const auto no_image = ParseKubernetesOptions({"api_server=https://h:1", "namespace=ml"},
                                               NoEnvironment, "/nonexistent");
  EXPECT_NE(MessageOf(no_image.status()).find("image="), std::string::npos);
}

}  // namespace
}  // namespace anamnesis::launch
