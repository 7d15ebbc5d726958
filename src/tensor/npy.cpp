// NumPy's .npy: a magic, a version, a Python dictionary of three entries, the elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include "tensor/npy.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "tenon/io.h"
#include "tensor/evaluate.h"

namespace tn {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMostAxes = 64;

[[noreturn]] void bad(const std::string& what, const std::string& message) { fail("npy", "'" + what + "' " + message); }

struct Descriptor {
  DType dtype;
  bool swapped;
};

Descriptor descriptor(std::string_view text, const std::string& what) {
  constexpr std::pair<std::string_view, DType> kKinds[] = {
      {"f8", DType::f64}, {"f4", DType::f32}, {"f2", DType::f16}, {"i8", DType::i64},    {"i4", DType::i32},
      {"i1", DType::i8},  {"u4", DType::u32}, {"u1", DType::u8},  {"b1", DType::boolean}};
  if (text.size() == 3 && std::string_view("<>|=").find(text[0]) != std::string_view::npos)
    for (const auto& [kind, dtype] : kKinds)
      if (text.substr(1) == kind) return {dtype, text[0] == '>' && bits(dtype) > 8};
  bad(what, "holds elements of '" + std::string(text.substr(0, 32)) +
                "'; expected one of f8 f4 f2 i8 i4 i1 u4 u1 b1 of either byte order");
}

/// Reads the dictionary, in which only what NumPy writes may stand.
class Header {
 public:
  Header(std::string_view text, const std::string& what) : text_(text), what_(what) {
    expect('{');
    while (!take('}')) {
      std::string_view key = string();
      expect(':');
      entry(key);
      if (!take(',') && !peek('}')) wrong("',' or '}'");
    }
    if (!skip_space().empty()) wrong("nothing more");
    if (seen_ != 7) bad(what_, "lacks one of 'descr', 'fortran_order' and 'shape' in its header");
  }
  Descriptor type{};
  bool fortran = false;
  std::vector<i64> shape;

 private:
  void entry(std::string_view key) {
    int bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
    if (!bit || (seen_ & bit)) bad(what_, "has an unknown or repeated entry in its header");
    seen_ |= bit;
    if (bit == 1) type = descriptor(string(), what_);
    if (bit == 2) fortran = boolean();
    if (bit == 4) read_shape();
  }
  void read_shape() {
    expect('(');
    while (!take(')')) {
      shape.push_back(number());
      if (shape.size() > kMostAxes) bad(what_, "has more than 64 axes");
      if (!take(',') && !peek(')')) wrong("',' or ')'");
    }
  }
  std::string_view skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
    return text_;
  }
  bool peek(char c) { return !skip_space().empty() && text_[0] == c; }
  bool take(char c) {
    if (!peek(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) wrong("'" + std::string(1, c) + "'");
  }
  std::string_view string() {
    char quote = peek('"') ? '"' : '\'';
    expect(quote);
    size_t end = text_.find(quote);
    if (end == text_.npos) wrong("the end of a string");
    std::string_view s = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return s;
  }
  bool boolean() {
    skip_space();
    for (std::string_view word : {"True", "False"})
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    wrong("True or False");
  }
  i64 number() {
    skip_space();
    i64 n = 0;
    size_t digits = 0;
    for (; digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9'; ++digits)
      if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text_[digits] - '0', &n))
        bad(what_, "has an extent that does not fit 64 bits");
    if (!digits) wrong("a number");
    text_.remove_prefix(digits);
    return n;
  }
  [[noreturn]] void wrong(const std::string& expected) {
    bad(what_, "has a broken header: expected " + expected + ", got '" + std::string(text_.substr(0, 16)) + "'");
  }

  std::string_view text_;
  const std::string& what_;
  int seen_ = 0;
};

void swap_bytes(const Array& a) {
  auto width = static_cast<size_t>(bytes(a.dtype));
  std::byte* p = a.bytes_begin();
  for (size_t n = a.nbytes(); n; n -= width, p += width) std::reverse(p, p + width);
}

/// Fortran order to C order.
Array reordered(const Array& a) {
  Array out = Array::empty(a.dtype, a.shape);
  auto width = static_cast<size_t>(bytes(a.dtype));
  std::vector<i64> at(a.shape.size(), 0), strides(a.shape.size(), 1);
  for (size_t k = 1; k < a.shape.size(); ++k) strides[k] = strides[k - 1] * a.shape[k - 1];
  for (i64 i = 0, n = a.size(); i < n; ++i) {
    i64 from = 0;
    for (size_t k = 0; k < at.size(); ++k) from += at[k] * strides[k];
    std::memcpy(out.bytes_begin() + static_cast<size_t>(i) * width, a.bytes_begin() + static_cast<size_t>(from) * width,
                width);
    for (size_t k = at.size(); k > 0; at[k] = 0) {
      --k;
      if (++at[k] != a.shape[k]) break;
    }
  }
  return out;
}

}  // namespace

Array parse_npy(std::string_view data, const std::string& what) {
  if (!data.starts_with(kMagic) || data.size() < 12) bad(what, "is no .npy file: its first bytes are not NumPy's");
  auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(data[i])); };
  size_t version = byte(6), start = version == 1 ? 10 : 12;
  if (version < 1 || version > 3) bad(what, "has version " + std::to_string(version) + "; expected 1, 2 or 3");
  size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > data.size() - start) bad(what, "is cut off in its header");
  Header header(data.substr(start, length), what);
  std::string_view elements = data.substr(start + length);
  i64 size = bytes(header.type.dtype);
  bool empty = std::find(header.shape.begin(), header.shape.end(), 0) != header.shape.end();
  for (i64 extent : header.shape)
    if (!empty && __builtin_mul_overflow(size, extent, &size)) bad(what, "claims a size that does not fit 64 bits");
  if (empty) size = 0;
  if (static_cast<u64>(size) > elements.size())
    bad(what, "claims " + std::to_string(size) + " bytes of elements and holds " + std::to_string(elements.size()));
  Array a = Array::empty(header.type.dtype, header.shape);
  if (size) std::memcpy(a.bytes_begin(), elements.data(), static_cast<size_t>(size));
  if (header.type.swapped) swap_bytes(a);
  if (a.dtype == DType::boolean)
    for (i64 i = 0; i < size; ++i) a.data<u8>()[i] = a.data<u8>()[i] != 0;
  return header.fortran && a.shape.size() > 1 && size ? reordered(a) : a;
}

std::string npy_header(const Array& a, const std::string& what) {
  constexpr std::string_view kNames[] = {"<f8", "<f4", "<f2", "", "<i8", "<i4", "|i1", "<u4", "|u1", "|b1"};
  std::string_view descr = kNames[static_cast<size_t>(a.dtype)];
  if (descr.empty()) bad(what, "cannot hold bf16, for which NumPy has no name; use cast, or safetensors");
  std::string dictionary = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < a.shape.size(); ++i)
    dictionary += (i ? " " : "") + std::to_string(a.shape[i]) + (i + 1 < a.shape.size() || i == 0 ? "," : "");
  dictionary += "), }";
  size_t prefix = 10 + (dictionary.size() > 65000 ? 2 : 0);
  dictionary.append(63 - (prefix + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  size_t n = dictionary.size();
  std::string header(kMagic);
  header += prefix == 10 ? '\1' : '\2';
  header += '\0';
  for (size_t i = 0; i < prefix - 8; ++i) header += static_cast<char>(n >> 8 * i);
  return header + dictionary;
}

Tensor load_npy(const std::string& path) {
  return handle(new_value(parse_npy(read_file("npy", path), path), Location()));
}

void save_npy(const std::string& path, const Tensor& x) {
  const Array& a = value_of(node_of(x, "npy", Location()), Location());
  std::string header = npy_header(a, path);
  std::string_view parts[] = {header, {reinterpret_cast<const char*>(a.bytes_begin()), a.nbytes()}};
  write_file("npy", path, parts);
}

}  // namespace tn
