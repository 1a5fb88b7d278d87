// SPDX-License-Identifier: Apache-2.0
#include "workers/torch_file/state_pickle.h"

#include "common/io/pickle_ops.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/torch_file/pickle_text.h"

namespace anamnesis::torch_file {
namespace {

namespace op = pickle_op;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Described {
  int64_t storage_numel = 12;
  int64_t offset = 0;
  std::vector<int64_t> size = {3, 4};
  std::vector<int64_t> stride = {4, 1};
  const char* storage_class = "FloatStorage";
};

void PutRebuildOf(const Described& shape, PickleText* pickle) {
  pickle->Global("torch._utils", "_rebuild_tensor_v2");
  pickle->Op(op::kMark);
  pickle->Op(op::kMark);
  pickle->Text("storage");
  pickle->Global("torch", shape.storage_class);
  pickle->Text("0");
  pickle->Text("cpu");
  pickle->Int(shape.storage_numel);
  pickle->Op(op::kTuple);
  pickle->Op(op::kBinPersId);
  pickle->Int(shape.offset);
  pickle->Ints(shape.size);
  pickle->Ints(shape.stride);
  pickle->Bool(false);
  pickle->None();
  pickle->Op(op::kTuple);
  pickle->Op(op::kReduce);
}

// {"w": tensor}
std::string DictOf(const Described& shape) {
  PickleText pickle;
  pickle.Op(op::kEmptyDict);
  pickle.Text("w");
  PutRebuildOf(shape, &pickle);
  pickle.Op(op::kSetItem);
  return pickle.Finish();
}

std::string PickleErrorOf(const std::string& bytes) {
  const auto tensors = ReadStatePickle(bytes);
  return tensors.ok() ? "no error" : MessageOf(tensors.status());
}

TEST(StatePickle, ReadsNamesShapesAndStrides) {
  const auto tensors = ReadStatePickle(DictOf({.offset = 1, .size = {2, 3}, .stride = {1, 4}}));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  const PickledTensor& tensor = tensors->front();
  EXPECT_EQ(tensor.name, "w");
  EXPECT_EQ(tensor.type, TorchType::kF32);
  EXPECT_THAT(tensor.shape, ElementsAre(2, 3));
  EXPECT_EQ(tensor.numel, 6u);
  EXPECT_EQ(tensor.span, 10u);  // the last element is at 1·1 + 2·4
  EXPECT_FALSE(tensor.IsContiguous());
}

TEST(StatePickle, RefusesTensorsThatLeaveTheirStorage) {
  const int64_t huge = int64_t{1} << 62;
  const struct {
    Described shape;
    const char* error;
  } kRows[] = {{{.offset = 1}, "strides reach beyond its storage of 12 elements"},
               {{.offset = 13, .size = {0}, .stride = {1}}, "reach beyond"},
               {{.offset = -1}, "a storage offset of -1"},
               {{.stride = {-4, 1}}, "a stride is -4"},
               {{.size = {-3, 4}}, "an extent of the shape is -3"},
               {{.stride = {5, 1}}, "reach beyond"},
               {{.stride = {huge, 1}}, "reach beyond"},
               {{.size = {huge, 4}}, "product of the shape overflows"},
               {{.size = {huge}, .stride = {0}}, "it repeats elements"},
               {{.size = {13}, .stride = {0}}, "it repeats elements: 13 of a storage of 12"},
               {{.size = {3}}, "1 extents and 2 strides"},
               {{.storage_numel = -1}, "a storage of -1 elements"},
               {{.storage_numel = huge}, "a storage of"},
               {{.size = std::vector<int64_t>(17, 1), .stride = std::vector<int64_t>(17, 1)},
                "a tuple of at most 16 integers"}};
  for (const auto& row : kRows) EXPECT_THAT(PickleErrorOf(DictOf(row.shape)), HasSubstr(row.error));
}

TEST(StatePickle, TakesAnEmptyTensorWhateverItsOtherExtents) {
  const int64_t huge = int64_t{1} << 40;
  EXPECT_EQ(PickleErrorOf(DictOf({.size = {huge, 0, huge}, .stride = {huge, huge, 1}})),
            "no error");
}

TEST(StatePickle, RefusesEveryOtherClassByNameAndOffset) {
  for (const auto& [module, name] : std::vector<std::pair<const char*, const char*>>{
           {"os", "system"},
           {"builtins", "eval"},
           {"torch", "load"},
           {"torch._utils", "_rebuild_device_tensor_from_numpy"},
           {"torch.storage", "UntypedStorage"},
           {"torch", "ComplexFloatStorage"}}) {
    PickleText pickle;
    pickle.Global(module, name);
    EXPECT_THAT(PickleErrorOf(pickle.Finish()),
                StartsWith(Cat("GLOBAL at offset 2: '", module, ".", name, "' is refused")));
  }
  PickleText spaced;
  spaced.Global("a\x01\xff", std::string(200, 'x'));
  EXPECT_THAT(PickleErrorOf(spaced.Finish()), HasSubstr("'a??.xxx"));
}

TEST(StatePickle, RefusesOpcodesThatBuildOtherThings) {
  EXPECT_THAT(PickleErrorOf("\x80\x02]."), HasSubstr("opcode EMPTY_LIST at offset 2 is refused"));
  EXPECT_THAT(PickleErrorOf("\x80\x02"
                            "c__main__\nX\n)\x81."),
              HasSubstr("is refused"));
  EXPECT_THAT(PickleErrorOf("\x80\x02)\x81."), HasSubstr("opcode NEWOBJ at offset 3 is refused"));
  EXPECT_THAT(PickleErrorOf("\x80\x06}."), HasSubstr("protocols 2 to 5"));
  EXPECT_THAT(PickleErrorOf("\x80\x02}.x"), HasSubstr("after the end"));
}

TEST(StatePickle, SaysWhatAStateDictIs) {
  EXPECT_THAT(PickleErrorOf("\x80\x02K\1."),
              HasSubstr("expected one dict of tensors, found an int"));
  EXPECT_THAT(PickleErrorOf("\x80\x02}K\1K\2s."), HasSubstr("key 0 of the dict is an int"));
  EXPECT_THAT(PickleErrorOf("\x80\x02}U."), HasSubstr("SHORT_BINSTRING at offset 3 is refused"));
  EXPECT_THAT(PickleErrorOf(std::string("\x80\x02}X\5\0\0\0epochK\3s.", 17)),
              HasSubstr("'epoch' is an int, expected a tensor"));
  EXPECT_THAT(PickleErrorOf("\x80\x02K\1}b."), HasSubstr("attributes of an int are refused"));
  EXPECT_THAT(PickleErrorOf("\x80\x02}h\1s."), HasSubstr("memo slot 1 has not been filled"));
  EXPECT_THAT(PickleErrorOf("\x80\x02s."), HasSubstr("too few values"));
  EXPECT_THAT(PickleErrorOf("\x80\x02u."), HasSubstr("no mark"));
  EXPECT_THAT(PickleErrorOf("\x80\x02}Q."), HasSubstr("expected ('storage'"));
}

TEST(StatePickle, RefusesTheSameNameTwice) {
  PickleText pickle;
  pickle.Op(op::kEmptyDict);
  for (int i = 0; i < 2; ++i) {
    pickle.Text("w");
    PutRebuildOf({}, &pickle);
    pickle.Op(op::kSetItem);
  }
  EXPECT_THAT(PickleErrorOf(pickle.Finish()), HasSubstr("'w' is in the dict twice"));
}

TEST(StatePickle, ADictThatHoldsItselfIsNoTensor) {
  EXPECT_THAT(PickleErrorOf(std::string("\x80\x02}q\1X\1\0\0\0wh\1s.", 15)),
              HasSubstr("'w' is a dict, expected a tensor"));
}

TEST(StatePickle, RefusesEveryPrefix) {
  const std::string bytes = DictOf({});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(PickleErrorOf(bytes.substr(0, size)), "no error") << size;
  }
}

}  // namespace
}  // namespace anamnesis::torch_file
