// SPDX-License-Identifier: Apache-2.0
// A tiny base as bitsandbytes would store it, and what is wrong with damaged ones. That real files
// of bitsandbytes are read is tested in tests/golden/nf4.
#include "workers/model/packed_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <list>
#include <map>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/support/temporary_folder.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/decoder.h"
#include "workers/model/family.h"
#include "workers/model/init.h"
#include "workers/model/weights.h"
#include "workers/quant/dynamic_map.h"

namespace anamnesis::model {
namespace {

using testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

constexpr char kQuery[] = "model.layers.0.self_attn.q_proj.weight";

void WriteBase(const TemporaryFolder& folder) {
  ModelConfig config = FamilyDefaults("llama");
  config.vocab_size = 50;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  ASSERT_TRUE(WriteRandomModel(config, 3, folder.path()).ok());
}

Tensors ReadTensors(const TemporaryFolder& folder) {
  const auto file = SafetensorsFile::Open(folder.File("model.safetensors"));
  EXPECT_TRUE(file.ok()) << file.status();
  Tensors out;
  for (const StoredTensor& tensor : file->tensors()) out[tensor.name] = *ReadTensor(*file, tensor);
  return out;
}

void WriteTensors(const TemporaryFolder& folder, const Tensors& tensors) {
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors) views.push_back(*ViewOf(name, tensor));
  ASSERT_TRUE(WriteSafetensors(folder.File("model.safetensors"), views).ok());
}

template <typename T>
at::Tensor TensorOf(const T& values, at::ScalarType type) {
  return at::from_blob(const_cast<typename T::value_type*>(values.data()),
                       {static_cast<int64_t>(values.size())}, at::TensorOptions(type))
      .clone();
}

Json StateOf(const quant::Nf4Data& data, const at::Tensor& weight) {
  return {{"quant_type", "nf4"},
          {"blocksize", 64},
          {"dtype", "float32"},
          {"shape", weight.sizes().vec()},
          {"nested_blocksize", 256},
          {"nested_dtype", "float32"},
          {"nested_offset", data.nested_offset}};
}

// Replaces the weight by the tensors that bitsandbytes stores.
void Pack(const std::string& weight, Tensors* tensors) {
  const auto packed = Nf4Weight::Quantise(tensors->at(weight));
  ASSERT_TRUE(packed.ok());
  const quant::Nf4Data& data = static_cast<const Nf4Weight&>(**packed).data();
  const std::string state = StateOf(data, tensors->at(weight)).dump();
  (*tensors)[weight] = TensorOf(data.codes, at::kByte).reshape({-1, 1});
  (*tensors)[weight + kBnbState] = TensorOf(state, at::kByte);
  (*tensors)[weight + kBnbQuantMap] = TensorOf(quant::kNf4Values, at::kFloat);
  (*tensors)[weight + kBnbAbsmax] = TensorOf(data.absmax_codes, at::kByte);
  (*tensors)[weight + kBnbNestedAbsmax] = TensorOf(data.nested_absmax, at::kFloat);
  (*tensors)[weight + kBnbNestedQuantMap] = TensorOf(quant::DynamicMap(), at::kFloat);
}

int64_t NumPacked(Decoder* model) {
  int64_t count = 0;
  for (const Linear* linear : model->linears()) count += linear->packed ? 1 : 0;
  return count;
}

TEST(PackedLoader, QuantisesEveryLinearLayerButTheHead) {
  const TemporaryFolder folder;
  WriteBase(folder);
  const auto model = Decoder::Load(folder.path(), at::kBFloat16, at::kCPU, Quantisation::kNf4);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(NumPacked(model->get()), 7);
  EXPECT_FALSE((*model)->lm_head().packed);
  // From the stored fp32 values, whatever the model's dtype.
  const at::Tensor stored = ReadTensors(folder).at(kQuery);
  EXPECT_TRUE(at::equal((*model)->linears()[0]->packed->Dense(at::kFloat),
                        (*Nf4Weight::Quantise(stored))->Dense(at::kFloat)));
}

TEST(PackedLoader, KeepsWhatIsStoredQuantisedAndQuantisesNoMore) {
  for (const Quantisation wanted : {Quantisation::kNone, Quantisation::kNf4}) {
    const TemporaryFolder folder;
    WriteBase(folder);
    Tensors tensors = ReadTensors(folder);
    const at::Tensor dense = (*Nf4Weight::Quantise(tensors.at(kQuery)))->Dense(at::kFloat);
    Pack(kQuery, &tensors);
    WriteTensors(folder, tensors);
    const auto model = Decoder::Load(folder.path(), at::kFloat, at::kCPU, wanted);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(NumPacked(model->get()), 1);
    EXPECT_TRUE(at::equal((*model)->linears()[0]->packed->Dense(at::kFloat), dense));
  }
}

TEST(PackedLoader, AWeightThatIsNotFiniteIsNamed) {
  const TemporaryFolder folder;
  WriteBase(folder);
  Tensors tensors = ReadTensors(folder);
  tensors.at(kQuery)[1][2] = std::numeric_limits<float>::quiet_NaN();
  WriteTensors(folder, tensors);
  const Status status =
      Decoder::Load(folder.path(), at::kFloat, at::kCPU, Quantisation::kNf4).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr(Cat(kQuery, ": element 34 of 1024 is NaN")));
}

TEST(PackedLoader, EachKindOfDamageIsRefusedByName) {
  const std::string query = kQuery;
  const auto edit_state = [&](Tensors* tensors, const Json& change) {
    at::Tensor& text = tensors->at(query + kBnbState);
    Json json = *ParseJson(
        {static_cast<const char*>(text.const_data_ptr()), static_cast<size_t>(text.numel())},
        "state");
    json.update(change);
    text = TensorOf(json.dump(), at::kByte);
  };
  const struct {
    std::function<void(Tensors*)> damage;
    std::string says;
  } kRows[] = {
      {[&](Tensors* t) {
         edit_state(t, {{"shape", {16, 64}}});
       },
       "shape [16, 64], config.json needs"},
      {[&](Tensors* t) {
         edit_state(t, {{"quant_type", "fp4"}});
       },
       "quant_type: fp4 is not built"},
      {[&](Tensors* t) {
         edit_state(t, {{"nested_offset", "0"}});
       },
       "nested_offset"},
      {[&](Tensors* t) { t->at(query + kBnbState).fill_(7); }, "quant_state.bitsandbytes__nf4"},
      {[&](Tensors* t) { t->at(query + kBnbQuantMap)[3] = 0.5; }, ".quant_map: not the 16 values"},
      {[&](Tensors* t) { t->at(query + kBnbNestedAbsmax)[0] = NAN; },
       "scale of block 0 is not finite"},
      {[&](Tensors* t) { t->erase(query + kBnbNestedAbsmax); }, ".absmax: dtype U8, expected F32"},
      {[&](Tensors* t) { t->erase(query + kBnbState); }, "not expected"},
      {[&](Tensors* t) { Pack("lm_head.weight", t); },
       "lm_head.weight: quantised, which is built for"},
      {[&](Tensors* t) { Pack("model.embed_tokens.weight", t); }, "embed_tokens.weight: quantised"},
  };
  for (const auto& row : kRows) {
    const TemporaryFolder folder;
    WriteBase(folder);
    Tensors tensors = ReadTensors(folder);
    Pack(kQuery, &tensors);
    row.damage(&tensors);
    WriteTensors(folder, tensors);
    const Status status = Decoder::Load(folder.path(), at::kFloat).status();
    EXPECT_EQ(ExitCodeOf(status), 6) << row.says;
    EXPECT_THAT(MessageOf(status), HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace anamnesis::model
