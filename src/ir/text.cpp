#include "ir/text.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

namespace tn {

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '\'';
}

void Cursor::skip_space() {
  while (at_ < text_.size()) {
    if (is_space(text_[at_]))
      ++at_;
    else if (text_[at_] == '#')
      at_ = std::min(text_.find('\n', at_), text_.size());
    else
      break;
  }
}

bool Cursor::at_end() {
  skip_space();
  return at_ >= text_.size();
}

char Cursor::peek() {
  skip_space();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool Cursor::eat(std::string_view token) {
  skip_space();
  if (!text_.substr(at_).starts_with(token)) return false;
  size_t end = at_ + token.size();
  if (is_word(token.back()) && end < text_.size() && is_word(text_[end])) return false;
  at_ = end;
  return true;
}

void Cursor::need(std::string_view token) {
  if (!eat(token)) fail_expected("'" + std::string(token) + "'");
}

bool Cursor::at_word() { return is_word(peek()) && !is_digit(peek()); }

std::string_view Cursor::word() {
  skip_space();
  size_t begin = at_;
  while (at_ < text_.size() && is_word(text_[at_])) ++at_;
  if (at_ == begin) fail_expected("a name");
  return text_.substr(begin, at_ - begin);
}

i64 Cursor::integer() {
  skip_space();
  i64 v = 0;
  auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), v);
  if (error != std::errc{}) fail_expected("an integer of 64 bits");
  at_ = static_cast<size_t>(end - text_.data());
  return v;
}

double Cursor::number() {
  skip_space();
  if (text_.substr(at_).starts_with("0b")) {
    u64 raw = 0;
    auto [end, error] = std::from_chars(text_.data() + at_ + 2, text_.data() + text_.size(), raw, 16);
    if (error != std::errc{}) fail_expected("a number by its bits, like 0b7ff8000000000000");
    at_ = static_cast<size_t>(end - text_.data());
    return std::bit_cast<double>(raw);
  }
  double v = 0;
  auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), v);
  if (error != std::errc{}) fail_expected("a number");
  at_ = static_cast<size_t>(end - text_.data());
  return v;
}

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string Cursor::quoted() {
  need("\"");
  std::string result;
  while (at_ < text_.size() && text_[at_] != '"') {
    char c = text_[at_++];
    if (c == '\\' && at_ < text_.size()) {
      char e = text_[at_++];
      if (e == 'n')
        c = '\n';
      else if (e == 't')
        c = '\t';
      else if (e == 'x' && at_ + 1 < text_.size() && hex_digit(text_[at_]) >= 0 && hex_digit(text_[at_ + 1]) >= 0) {
        c = static_cast<char>(hex_digit(text_[at_]) * 16 + hex_digit(text_[at_ + 1]));
        at_ += 2;
      } else
        c = e;
    }
    result += c;
  }
  if (at_ >= text_.size()) fail_expected("a closing '\"'");
  ++at_;
  return result;
}

Dim Cursor::dim_factor(Dim (*symbol)(void*, std::string_view), void* context) {
  Nest nest(*this);
  if (eat("-")) return -dim_factor(symbol, context);
  if (is_digit(peek())) {
    i64 v = integer();
    if (!Dim::holds(v)) fail_expected("a size of 63 bits");
    return v;
  }
  if (eat("(")) {
    Dim d = dim(symbol, context);
    need(")");
    return d;
  }
  if (!at_word()) fail_expected("a size: an integer, a name, or an expression of them");
  std::string_view name = word();
  if ((name == "min" || name == "max") && eat("(")) {
    Dim a = dim(symbol, context);
    need(",");
    Dim b = dim(symbol, context);
    need(")");
    return name == "min" ? min(a, b) : max(a, b);
  }
  return symbol ? symbol(context, name) : Dim::symbol(name);
}

Dim Cursor::dim_term(Dim (*symbol)(void*, std::string_view), void* context) {
  Dim d = dim_factor(symbol, context);
  for (;;) {
    if (eat("//"))
      d = floordiv(d, dim_factor(symbol, context));
    else if (eat("*"))
      d = d * dim_factor(symbol, context);
    else
      return d;
  }
}

Dim Cursor::dim(Dim (*symbol)(void*, std::string_view), void* context) {
  Dim d = dim_term(symbol, context);
  for (;;) {
    if (eat("+"))
      d = d + dim_term(symbol, context);
    else if (peek() == '-') {
      need("-");
      d = d - dim_term(symbol, context);
    } else
      return d;
  }
}

void Cursor::fail_expected(std::string_view what) {
  size_t at = std::min(at_, text_.size());
  auto line = std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1;
  size_t start = text_.substr(0, at).rfind('\n');
  size_t column = start == std::string_view::npos ? at + 1 : at - start;
  std::string got(text_.substr(at, 16));
  if (auto newline = got.find('\n'); newline != got.npos) got.resize(newline);
  fail(reader_, "line " + std::to_string(line) + ", column " + std::to_string(column) + ": expected " +
                    std::string(what) + ", got " + (at >= text_.size() ? "the end of the text" : quote(got)));
}

std::string quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (result += '\\') += c;
    else if (c == '\n')
      result += "\\n";
    else if (c == '\t')
      result += "\\t";
    else if (byte < 32 || byte == 127)
      ((result += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
    else
      result += c;
  }
  return result + "\"";
}

std::string number_text(double v) {
  char buffer[40];
  if (std::isnan(v)) {
    auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, std::bit_cast<u64>(v), 16);
    return "0b" + std::string(buffer, end);
  }
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, v);
  std::string text(buffer, end);
  if (text.find_first_of(".en") == text.npos) text += ".0";
  return text;
}

}  // namespace tn
