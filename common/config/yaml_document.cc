// SPDX-License-Identifier: Apache-2.0
#include "common/config/yaml_document.h"

#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <map>
#include <sstream>

#include "common/io/file.h"

namespace anamnesis::config {
namespace {

constexpr size_t kMaxShownBytes = 60;

// yaml-cpp takes the end of the text for the end of an open quotation. This line goes behind the
// text: a comment, or found inside of a text whose quotation mark was never closed.
constexpr char kEndLine[] = "\n# -- end of the configuration --\n";
constexpr char kEndWords[] = "# -- end of the configuration --";

std::string PlaceText(const std::string& source, int line, int column) {
  return line > 0 ? Cat(source, ":", line, ":", column) : source;
}

// The length of the well-formed UTF-8 sequence at `at` (RFC 3629, table in section 4), or 0.
size_t Utf8Length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

Status CheckCharacters(const std::string& text, const std::string& source) {
  int line = 1, column = 1;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text, at);
    const auto first = static_cast<unsigned char>(text[at]);
    if (length == 0) {
      return InvalidArgument(PlaceText(source, line, column), ": byte ", at,
                             " is not valid UTF-8: save the file as UTF-8");
    }
    if ((first < 0x20 && first != '\t' && first != '\n' && first != '\r') || first == 0x7F) {
      return InvalidArgument(PlaceText(source, line, column), ": control character at byte ", at,
                             ", which YAML does not allow");
    }
    if (first == '\n') {
      ++line;
      column = 0;
    }
    ++column;
    at += length;
  }
  return absl::OkStatus();
}

// Builds the tree from yaml-cpp's events. After a problem the remaining events are ignored.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string source) : source_(std::move(source)) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Leaf(At(mark, YamlNode::Kind::kNull), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    if (tag == "!" && value.find(kEndWords) != std::string::npos) {
      Fail(mark, "the quotation that begins here is never closed");
    }
    YamlNode node = At(mark, YamlNode::Kind::kScalar);
    node.quoted = tag == "!";
    node.text = value;
    Leaf(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!status_.ok()) return;
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) return Fail(mark, "the alias refers to the node that it is part of");
    num_nodes_ += it->second.num_nodes;
    num_bytes_ += it->second.num_bytes;
    if (num_nodes_ > kMaxYamlNodes) return TooMany(mark);
    if (num_bytes_ > kMaxYamlBytes) return TooLong(mark);
    if (open_.size() + static_cast<size_t>(it->second.depth) > kMaxYamlDepth) return TooDeep(mark);
    YamlNode copy = it->second.node;
    copy.line = mark.line + 1;
    copy.column = mark.column + 1;
    Attach(std::move(copy), it->second.depth);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  StatusOr<YamlNode> Take() {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

 private:
  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor;
    size_t first_node;  // num_nodes_ before this node
    size_t first_byte;  // num_bytes_ likewise
    bool has_key = false;
    int depth = 1;  // of the subtree so far
  };
  struct Anchored {
    YamlNode node;
    size_t num_nodes;
    size_t num_bytes;
    int depth;
  };

  static YamlNode At(const YAML::Mark& mark, YamlNode::Kind kind) {
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void Fail(const YAML::Mark& mark, const std::string& what) {
    if (status_.ok()) {
      status_ = InvalidArgument(PlaceText(source_, mark.line + 1, mark.column + 1), ": ", what);
    }
  }
  void TooMany(const YAML::Mark& mark) {
    Fail(mark, Cat("more than ", kMaxYamlNodes, " values (aliases counted as often as used)"));
  }
  void TooLong(const YAML::Mark& mark) {
    Fail(mark,
         Cat("more than ", kMaxYamlBytes, " bytes of text (aliases counted as often as used)"));
  }
  void TooDeep(const YAML::Mark& mark) {
    Fail(mark, Cat("nested deeper than ", kMaxYamlDepth, " levels"));
  }
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Fail(mark, "tags are not supported: write the plain value");
  }

  void Leaf(YamlNode node, YAML::anchor_t anchor) {
    if (!status_.ok()) return;
    if (++num_nodes_ > kMaxYamlNodes) {
      YAML::Mark mark;
      mark.line = node.line - 1;
      mark.column = node.column - 1;
      return TooMany(mark);
    }
    num_bytes_ += node.text.size();
    if (anchor != 0) anchors_[anchor] = {node, 1, node.text.size(), 0};
    Attach(std::move(node), 0);
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    if (!status_.ok()) return;
    CheckTag(mark, tag);
    if (open_.size() >= kMaxYamlDepth) return TooDeep(mark);
    if (++num_nodes_ > kMaxYamlNodes) return TooMany(mark);
    open_.push_back({At(mark, kind), anchor, num_nodes_ - 1, num_bytes_});
  }

  void Close() {
    if (!status_.ok() || open_.empty()) return;
    Frame frame = std::move(open_.back());
    open_.pop_back();
    if (frame.anchor != 0) {
      anchors_[frame.anchor] = {frame.node, num_nodes_ - frame.first_node,
                                num_bytes_ - frame.first_byte, frame.depth};
    }
    Attach(std::move(frame.node), frame.depth);
  }

  void Attach(YamlNode node, int depth) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = open_.back();
    parent.depth = std::max(parent.depth, depth + 1);
    if (parent.node.kind == YamlNode::Kind::kMap && !parent.has_key) {
      parent.node.keys.push_back(std::move(node));
      parent.has_key = true;
    } else {
      parent.node.items.push_back(std::move(node));
      parent.has_key = false;
    }
  }

  std::string source_;
  Status status_;
  YamlNode root_;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t num_nodes_ = 0;
  size_t num_bytes_ = 0;  // of scalars
};

}  // namespace

std::string Shorten(std::string_view text) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text, at);
    if (shown.size() + length > kMaxShownBytes) return shown + "...";
    const auto first = static_cast<unsigned char>(text[at]);
    if (length == 0 || first < 0x20 || first == 0x7F) {
      shown += '?';
    } else {
      shown += text.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
  return shown;
}

std::string Describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return Cat("'", Shorten(node.text), "'");
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "";
}

StatusOr<YamlNode> ParseYaml(const std::string& text, const std::string& source) {
  if (text.size() > kMaxYamlBytes) {
    return InvalidArgument(source, ": larger than ", kMaxYamlBytes, " bytes: not a configuration");
  }
  ANAM_RETURN_IF_ERROR(CheckCharacters(text, source));
  try {
    std::istringstream stream(text + kEndLine);
    YAML::Parser parser(stream);
    TreeBuilder first(source);
    if (!parser.HandleNextDocument(first)) return YamlNode{};
    ANAM_ASSIGN_OR_RETURN(YamlNode root, first.Take());
    TreeBuilder second(source);
    if (parser.HandleNextDocument(second)) {
      return InvalidArgument(source, ": more than one YAML document: write one, without '---'");
    }
    return root;
  } catch (const YAML::Exception& error) {
    const bool placed = !error.mark.is_null();
    return InvalidArgument(
        PlaceText(source, placed ? error.mark.line + 1 : 0, placed ? error.mark.column + 1 : 0),
        ": not valid YAML: ", error.msg);
  } catch (const std::exception& error) {  // yaml-cpp lets standard exceptions out on odd input
    return InvalidArgument(source, ": not valid YAML: ", error.what());
  }
}

StatusOr<std::string> ReadYamlFile(const std::string& path) {
  // A pipe may never be written to, a device may never end: neither is opened.
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return InvalidArgument(path, ": cannot open: ", ErrnoText(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return InvalidArgument(path, S_ISDIR(info.st_mode) ? ": is a folder" : ": is no regular file",
                           ", expected a YAML file");
  }
  if (static_cast<uint64_t>(info.st_size) > kMaxYamlBytes) {
    return InvalidArgument(path, ": has ", info.st_size, " bytes, more than ", kMaxYamlBytes,
                           ": not a configuration");
  }
  return ReadFile(path);
}

}  // namespace anamnesis::config
