// Printing as NumPy does: aligned columns, nested brackets, long axes cut in the middle, the dtype after what is not
// the default.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "tensor/evaluate.h"
#include "tensor/helpers.h"

namespace tn {

namespace {

constexpr i64 kMostElements = 1000, kEdge = 3;
constexpr int kPrecision = 8;
constexpr size_t kLineWidth = 75;

/// Shortest text that reads back, at most kPrecision digits after the point.
std::string fixed_text(double v, DType dtype) {
  char text[64];
  bool single = dtype != DType::f64;
  auto full = single ? std::to_chars(text, text + sizeof text, static_cast<float>(v), std::chars_format::fixed)
                     : std::to_chars(text, text + sizeof text, v, std::chars_format::fixed);
  std::string shortest(text, full.ec == std::errc() ? full.ptr : text);
  size_t point = shortest.find('.');
  if (full.ec != std::errc() || (point != shortest.npos && shortest.size() - point - 1 > kPrecision)) {
    auto cut = std::to_chars(text, text + sizeof text, v, std::chars_format::fixed, kPrecision);
    shortest.assign(text, cut.ptr);
    shortest.erase(shortest.find_last_not_of('0') + 1);
    point = shortest.find('.');
  }
  return point == shortest.npos ? shortest + "." : shortest;
}

std::string scientific_text(double v, DType dtype) {
  char text[64];
  auto end = dtype != DType::f64
                 ? std::to_chars(text, text + sizeof text, static_cast<float>(v), std::chars_format::scientific)
                 : std::to_chars(text, text + sizeof text, v, std::chars_format::scientific);
  std::string s(text, end.ptr);
  size_t e = s.find('e');
  std::string mantissa = s.substr(0, e), exponent = s.substr(e);
  if (mantissa.size() > kPrecision + 3) {
    end = std::to_chars(text, text + sizeof text, v, std::chars_format::scientific, kPrecision);
    s.assign(text, end.ptr);
    e = s.find('e');
    mantissa = s.substr(0, e), exponent = s.substr(e);
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
  }
  if (mantissa.find('.') == mantissa.npos) mantissa += ".";
  return mantissa + exponent;
}

/// The elements that are shown, as texts of one width.
class Printer {
 public:
  explicit Printer(const Array& a) : a_(a), cut_(a.size() > kMostElements) {
    collect(0, 0);
    if (is_float(a.dtype))
      format_floats();
    else
      format_integers();
  }
  std::string text() {
    std::string out;
    if (a_.shape.empty()) return texts_[0].substr(texts_[0].find_first_not_of(' '));
    print(0, 1, out);
    return out;
  }

 private:
  bool shown(size_t axis, i64 i) const {
    return !cut_ || a_.shape[axis] <= 2 * kEdge || i < kEdge || i >= a_.shape[axis] - kEdge;
  }
  void collect(size_t axis, i64 base) {
    if (axis == a_.shape.size()) {
      places_.push_back(base);
      return;
    }
    for (i64 i = 0; i < a_.shape[axis]; ++i)
      if (shown(axis, i)) collect(axis + 1, base * a_.shape[axis] + i);
  }
  void format_integers() {
    for (i64 i : places_)
      texts_.push_back(a_.dtype == DType::boolean ? (a_.get_int(i) ? "True" : "False") : std::to_string(a_.get_int(i)));
    align();
  }
  void format_floats() {
    double least = INFINITY, greatest = 0;
    for (i64 i : places_)
      if (double v = std::fabs(a_.get(i)); std::isfinite(v) && v != 0) {
        least = std::min(least, v);
        greatest = std::max(greatest, v);
      }
    bool scientific = greatest >= 1e8 || (greatest > 0 && (least < 1e-4 || greatest / least > 1000 * 1e5));
    if (a_.shape.empty() && greatest >= 1e-4 && greatest < 1e16) scientific = false;
    for (i64 i : places_) {
      double v = a_.get(i);
      if (std::isnan(v))
        texts_.push_back("nan");
      else if (std::isinf(v))
        texts_.push_back(v < 0 ? "-inf" : "inf");
      else
        texts_.push_back(scientific ? scientific_text(v, a_.dtype) : fixed_text(v, a_.dtype));
    }
    if (a_.shape.empty()) {
      if (texts_[0].back() == '.') texts_[0] += "0";
      return;
    }
    pad_fraction();
    align();
  }
  /// Points stand under points.
  void pad_fraction() {
    size_t most = 0;
    auto fraction = [](const std::string& s) {
      size_t end = std::min(s.find('e'), s.size()), point = s.find('.');
      return point == s.npos ? 0 : end - point;
    };
    for (const auto& s : texts_) most = std::max(most, fraction(s));
    for (auto& s : texts_)
      if (size_t have = fraction(s); have && s.find('e') == s.npos) s += std::string(most - have, ' ');
  }
  void align() {
    size_t width = 0;
    for (const auto& s : texts_) width = std::max(width, s.size());
    for (auto& s : texts_) s.insert(0, width - s.size(), ' ');
  }
  void print(size_t axis, size_t indent, std::string& out) {
    out += "[";
    bool last = axis + 1 == a_.shape.size(), dots = false;
    for (i64 i = 0, n = a_.shape[axis]; i < n; ++i) {
      if (!shown(axis, i)) {
        if (!dots)
          out += last ? " ..." : std::string(a_.shape.size() - axis - 1, '\n') + std::string(indent, ' ') + "...";
        dots = true;
        continue;
      }
      if (last) {
        const std::string& word = texts_[next_++];
        size_t column = out.size() - (out.rfind('\n') == out.npos ? 0 : out.rfind('\n') + 1);
        if (i && column + word.size() + 1 > kLineWidth)
          out += "\n" + std::string(indent, ' ');
        else if (i)
          out += " ";
        out += word;
      } else {
        if (i) out += std::string(a_.shape.size() - axis - 1, '\n') + std::string(indent, ' ');
        print(axis + 1, indent + 1, out);
      }
    }
    out += "]";
  }

  const Array& a_;
  bool cut_;
  std::vector<i64> places_;
  std::vector<std::string> texts_;
  size_t next_ = 0;
};

}  // namespace

std::string array_text(const Array& a) { return Printer(a).text(); }

std::string to_string(const Tensor& x, Location at) {
  Pending* p = node_of(x, "to_string", at);
  if (p->is(kNoValue)) return "traced " + to_string(p->type);
  return array_text(value_of(p, at));
}

}  // namespace tn
