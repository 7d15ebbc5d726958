// Reading text that may be hostile: a cursor with one error form ("line 3, column 7: expected ..., got ...") and bounds
// on nesting. Shared by the graph and kernel parsers.
#pragma once
#include <string>
#include <string_view>

#include "tenon/dim.h"
#include "tenon/error.h"

namespace tn {

class Cursor {
 public:
  Cursor(std::string_view text, std::string_view reader) : text_(text), reader_(reader) {}

  /// Skips blanks and `# comments`.
  void skip_space();
  bool at_end();
  char peek();
  /// The next token if it is `token`; a word token must end there.
  bool eat(std::string_view token);
  void need(std::string_view token);
  /// Letters, digits, _ and '.
  std::string_view word();
  bool at_word();
  i64 integer();
  /// A double: decimal, inf, or by its bits in hexadecimal (0b7ff8000000000000).
  double number();
  /// "quoted \"text\"" with \n \t \\ \" and \xNN.
  std::string quoted();
  /// The form to_string(Dim) writes; names are looked up by `symbol`, Dim::symbol when not given.
  Dim dim(Dim (*symbol)(void* context, std::string_view name) = nullptr, void* context = nullptr);
  /// Items with commas between them, up to `close`.
  template <class F>
  void list(std::string_view close, F item) {
    if (eat(close)) return;
    do item();
    while (eat(","));
    need(close);
  }
  [[noreturn]] void fail_expected(std::string_view what);
  size_t remaining() const { return text_.size() - at_; }
  std::string_view rest() const { return text_.substr(at_); }
  void advance(size_t n) { at_ += n; }

  /// Counts nesting; more than 200 is an error.
  struct Nest {
    explicit Nest(Cursor& c) : cursor(c) {
      if (++c.depth_ > 200) c.fail_expected("at most 200 levels of nesting");
    }
    ~Nest() { --cursor.depth_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    Cursor& cursor;
  };

 private:
  Dim dim_factor(Dim (*symbol)(void*, std::string_view), void* context);
  Dim dim_term(Dim (*symbol)(void*, std::string_view), void* context);
  std::string_view text_;
  std::string_view reader_;
  size_t at_ = 0;
  int depth_ = 0;
};

/// "text" with escapes, as Cursor::quoted reads it.
std::string quote(std::string_view text);
/// Shortest text that reads back to the same double; NaN by its bits; always told apart from an integer.
std::string number_text(double v);

}  // namespace tn
