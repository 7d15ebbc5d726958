// Printing as NumPy does: aligned columns, nested brackets, long axes cut in the middle.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "tensor/evaluate.h"
#include "tensor/helpers.h"

namespace tn {

namespace {

constexpr i64 kMostElements = 1000, kEdge = 3;
constexpr int kPrecision = 8;
constexpr size_t kLineWidth = 75;

/// Shortest text of the magnitude that reads back in its dtype, with at most `precision` digits after the point.
std::string shortest(double v, DType dtype, std::chars_format format, int precision) {
  char text[400];
  char* end = text;
  auto at_most = [&](int digits) {
    end = std::to_chars(text, text + sizeof text, v, format, digits).ptr;
    return std::string(text, end);
  };
  if (bits(dtype) == 16) {  // no to_chars of its own: as many digits as it takes
    Array back = Array::empty(dtype, {1});
    for (int digits = 0; digits < precision; ++digits) {
      std::string s = at_most(digits);
      back.set(0, std::strtod(s.c_str(), nullptr));
      if (back.get(0) == v) return s;
    }
    return at_most(precision);
  }
  end = dtype == DType::f64 ? std::to_chars(text, text + sizeof text, v, format).ptr
                            : std::to_chars(text, text + sizeof text, static_cast<float>(v), format).ptr;
  std::string s(text, end);
  size_t point = s.find('.'), mantissa = std::min(s.find('e'), s.size());
  if (point == s.npos || mantissa - point - 1 <= static_cast<size_t>(precision)) return s;
  s = at_most(precision);
  mantissa = std::min(s.find('e'), s.size());
  size_t last = s.find_last_not_of('0', mantissa - 1) + 1;
  return s.erase(last, mantissa - last);
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
    if (a_.shape.empty()) return texts_[0];
    if (a_.size() == 0) return "[]";
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
    if (a_.shape.empty()) return format_number(a_.get(0), least);
    bool scientific = greatest >= 1e8 || (greatest > 0 && (least < 1e-4 || greatest / least > 1000));
    auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
    for (i64 i : places_) {
      double v = a_.get(i);
      std::string s = std::isfinite(v) ? shortest(v, a_.dtype, format, kPrecision) : special(v);
      if (std::isfinite(v) && s.find('.') == s.npos) s.insert(std::min(s.find('e'), s.size()), ".");
      texts_.push_back(std::move(s));
    }
    pad_fraction(scientific);
    align();
  }
  static std::string special(double v) { return std::isnan(v) ? "nan" : v < 0 ? "-inf" : "inf"; }
  /// A lone number has all its digits.
  void format_number(double v, double magnitude) {
    constexpr int kAll = 20;
    bool scientific = magnitude < 1e-4 || (magnitude >= 1e16 && std::isfinite(magnitude));
    auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
    texts_.push_back(std::isfinite(v) ? shortest(v, a_.dtype, format, kAll) : special(v));
    if (std::isfinite(v) && !scientific && texts_[0].find('.') == std::string::npos) texts_[0] += ".0";
  }
  /// Points stand under points; scientific numbers all have the digits of the longest.
  void pad_fraction(bool scientific) {
    size_t most = 0;
    auto fraction = [](const std::string& s) {
      size_t end = std::min(s.find('e'), s.size()), point = s.find('.');
      return point == s.npos ? 0 : end - point;
    };
    for (const auto& s : texts_) most = std::max(most, fraction(s));
    for (size_t i = 0; i < texts_.size(); ++i) {
      std::string& s = texts_[i];
      size_t have = fraction(s);
      if (have == 0 || have == most) continue;
      if (!scientific) {
        s.append(most - have, ' ');
        continue;
      }
      char text[400];
      char* end = std::to_chars(text, text + sizeof text, a_.get(places_[i]), std::chars_format::scientific,
                                static_cast<int>(most) - 1)
                      .ptr;
      s.assign(text, end);
    }
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
        if (i && column + word.size() + axis + 2 > kLineWidth)  // room for the brackets that close
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
