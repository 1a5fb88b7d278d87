// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_base.h"

#include <utility>
#include <vector>

#include "anam_tokenizers.h"
#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/model/init.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::prep {
namespace {

constexpr size_t kVocabSize = 1'000;  // at most; fewer when no pair is left to merge
constexpr uint64_t kMinPairCount = 2;
constexpr int64_t kMaxPositions = 2'048;
// Ids that the trainer gives (anam_tokenizers.h).
constexpr int64_t kBosId = 1;
constexpr int64_t kEosId = 2;

// The texts of the split train, pulled by the tokenizer trainer one at a time.
class TrainTexts {
 public:
  static StatusOr<TrainTexts> Open(SynthNarratives& narratives) {
    TrainTexts texts(narratives);
    ANAM_ASSIGN_OR_RETURN(texts.files_, narratives.Files("train"));
    return texts;
  }

  // anam_tok_next_text.
  static int32_t Next(void* self, const char** text, size_t* text_len) {
    return static_cast<TrainTexts*>(self)->Next(text, text_len);
  }

  const Status& status() const { return status_; }

 private:
  explicit TrainTexts(SynthNarratives& narratives) : narratives_(narratives) {}

  int32_t Next(const char** text, size_t* text_len) {
    while (next_text_ == texts_.size()) {
      if (next_file_ == files_.size()) return 0;
      texts_.clear();
      next_text_ = 0;
      status_ = narratives_.ReadFile(files_[next_file_++], [&](const stream::Narrative& narrative) {
        texts_.push_back(narratives_.Text(narrative));
        return absl::OkStatus();
      });
      if (!status_.ok()) return -1;
    }
    const std::string& next = texts_[next_text_++];
    *text = next.data();
    *text_len = next.size();
    return 1;
  }

  SynthNarratives& narratives_;
  std::vector<InputFile> files_;
  std::vector<std::string> texts_;  // of one file
  size_t next_file_ = 0, next_text_ = 0;
  Status status_;
};

Status TrainTokenizer(SynthNarratives& narratives, const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(TrainTexts texts, TrainTexts::Open(narratives));
  const anam_tok_train_options options{
      .vocab_size = kVocabSize, .min_pair_count = kMinPairCount, .split_digits = 1};
  char* error = nullptr;
  const int32_t code =
      anam_tok_train_bpe(TrainTexts::Next, &texts, &options, path.data(), path.size(), &error);
  const std::string message = error == nullptr ? "" : error;
  anam_tok_free_string(error);
  ANAM_RETURN_IF_ERROR(texts.status());
  if (code == ANAM_TOK_OK) return absl::OkStatus();
  if (code == ANAM_TOK_IO) return InvalidArgument(path, ": ", message);
  return Internal(path, ": training the tokenizer: ", message);
}

Status WriteJson(const std::string& path, const Json& json) {
  return WriteFileDurably(path, json.dump(2) + "\n");
}

model::ModelConfig TinyLlama(int64_t vocab_size) {
  model::ModelConfig config;
  config.vocab_size = vocab_size;
  config.hidden_size = 128;
  config.intermediate_size = 344;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 32;
  config.max_position_embeddings = kMaxPositions;
  config.tie_word_embeddings = false;
  config.bos_token_id = kBosId;
  config.eos_token_ids = {kEosId};
  return config;
}

}  // namespace

Status WriteSynthBase(SynthNarratives& narratives, uint64_t seed, const std::string& directory) {
  ANAM_RETURN_IF_ERROR(MakeDirectories(directory));
  ANAM_RETURN_IF_ERROR(TrainTokenizer(narratives, directory + "/tokenizer.json"));
  const Json special = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  ANAM_RETURN_IF_ERROR(WriteJson(directory + "/special_tokens_map.json", special));
  Json config = special;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  config["model_input_names"] = {"input_ids", "attention_mask"};
  config["model_max_length"] = kMaxPositions;
  ANAM_RETURN_IF_ERROR(WriteJson(directory + "/tokenizer_config.json", config));
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(directory));
  return model::WriteRandomModel(TinyLlama(tokenizer->vocab_size()), seed, directory);
}

}  // namespace anamnesis::prep
