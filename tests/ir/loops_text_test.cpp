// Kernels as text: print, parse, print; keys; and errors that name line and word.
#include <gtest/gtest.h>

#include "ir/loops.h"
#include "kernels.h"
#include "tenon/error.h"

namespace tn::loops {
namespace {

TEST(KernelText, ParsesBack) {
  for (const Kernel& k : samples::all()) {
    std::string text = to_string(k);
    Kernel again = parse_kernel(text);
    EXPECT_EQ(to_string(again), text);
    EXPECT_EQ(canonical_text(again), canonical_text(k)) << k.name;
    EXPECT_TRUE(verify(again).empty()) << k.name << ": " << verify(again)[0];
  }
}

TEST(KernelText, CanonicalTextIsItsOwnKernel) {
  for (const Kernel& k : samples::all()) {
    std::string text = canonical_text(k);
    EXPECT_EQ(canonical_text(parse_kernel(text)), text);
  }
}

std::string scaled(std::string_view n, std::string_view x, std::string_view i, std::string_view factor) {
  std::string s =
      "kernel scale(N; in X: f32[N] by [1], out Y: f32[N] by [1]) scratch 0 {\n"
      "  parallel I < N {\n"
      "    %1 = f32 load X[I]\n"
      "    %2 = f32 const FACTOR\n"
      "    %3 = f32 mul %1, %2\n"
      "    store Y[I] = %3\n"
      "  }\n}\n";
  auto put = [&](std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = s.find(from, at)) != s.npos; at += to.size()) s.replace(at, from.size(), to);
  };
  put("FACTOR", factor);
  put("N", n);
  put("X", x);
  put("I", i);
  return s;
}

TEST(KernelText, KeysForgetNamesAndKeepNumbers) {
  auto key = [](const std::string& text) { return canonical_text(parse_kernel(text)); };
  std::string base = key(scaled("n", "A", "i", "0.5"));
  EXPECT_EQ(base, key(scaled("width", "input", "j", "0.5")));
  Kernel k = samples::add(), l = samples::add();
  std::pair<Dim, Dim> rename[] = {{Dim::symbol("n"), Dim::symbol("l")}};  // as a model may call a dimension
  for (Dim& d : l.sizes) d = substitute(d, rename);
  for (Buffer& x : l.buffers) x.shape[0] = substitute(x.shape[0], rename);
  for (Dim& d : l.dims) d = substitute(d, rename);
  for (Node& n : l.nodes)
    for (Dim* d : {&n.extent, &n.lane_limit}) *d = substitute(*d, rename);
  EXPECT_EQ(canonical_text(k), canonical_text(l));
  EXPECT_EQ(canonical_text(parse_kernel(to_string(l))), canonical_text(l));
  EXPECT_NE(base, key(scaled("n", "A", "i", "0.25")));
  EXPECT_NE(base, key(scaled("n", "A", "i", "-0.0")));
  EXPECT_NE(kernel_key(base), kernel_key(key(scaled("n", "A", "i", "0.25"))));
}

TEST(KernelText, DoesNotDependOnWhatWasMadeBefore) {
  // The same sum of sizes, its symbols made in both orders.
  Dim::symbol("made_b");
  Dim b = Dim::symbol("made_b"), a = Dim::symbol("made_a");
  EXPECT_EQ(to_string(b * 3 + a), "made_a + 3*made_b");
  Dim c = Dim::symbol("made_c"), d = Dim::symbol("made_d");
  EXPECT_EQ(to_string(d + c * 3), "3*made_c + made_d");
  EXPECT_EQ(to_string(min(d, c)), to_string(min(c, d)));
}

TEST(KernelText, ErrorsNameTheLine) {
  auto error = [](std::string_view text) -> std::string {
    try {
      parse_kernel(text);
    } catch (const Error& e) { return e.what(); }
    return "none";
  };
  std::string head = "kernel k(n; out Y: f32[n] by [1]) scratch 0 {\n  parallel i < n {\n";
  std::string tail = "  }\n}\n";
  auto inside = [&](const std::string& line) { return error(head + line + tail); };
  EXPECT_EQ(inside(""), "none");
  EXPECT_NE(inside("%1 = f32 frob %0\n").find("line 3"), std::string::npos);
  EXPECT_NE(inside("%1 = f32 frob %0\n").find("an op, not 'frob'"), std::string::npos);
  EXPECT_NE(inside("%7 = f32 const 1.0\n").find("value %1"), std::string::npos);
  EXPECT_NE(inside("%1 = f31 const 1.0\n").find("f31"), std::string::npos);
  EXPECT_NE(inside("%1 = f32<99999x9> const 1.0\n").find("an integer from 1"), std::string::npos);
  EXPECT_NE(inside("store Z[i] = %0\n").find("a buffer of the kernel"), std::string::npos);
  EXPECT_NE(inside("store Y[j] = %0\n").find("not 'j'"), std::string::npos);
  EXPECT_NE(inside("store Y[i, i] = %0\n").find("an index for each axis"), std::string::npos);
  EXPECT_NE(inside("%1 = f32 result 0\n").find("right after its loop"), std::string::npos);
  EXPECT_NE(inside("%1 = f32 const\n").find("a number"), std::string::npos);
  EXPECT_NE(error("kernel"), "none");
  EXPECT_NE(error(""), "none");
}

TEST(KernelText, HostileTextEndsInAnError) {
  // Every prefix, and every text with one byte changed, is a kernel or an Error: never a crash, never InternalError.
  for (const Kernel& k : {samples::softmax(), samples::gather_rows(), samples::long_sum()}) {
    std::string text = to_string(k);
    for (size_t n = 0; n + 1 < text.size(); ++n) EXPECT_THROW(parse_kernel(text.substr(0, n)), Error);
    for (size_t n = 0; n < text.size(); n += 3)
      for (char c : {'0', '%', '}', '(', 'x', ' '}) {
        std::string changed = text;
        changed[n] = c;
        try {
          verify(parse_kernel(changed));
        } catch (const Error& e) { EXPECT_STRNE(e.what(), ""); }
      }
  }
  std::string deep = "kernel k(n; out Y: f32[n] by [1]) scratch 0 {\n";
  for (int i = 0; i < 100000; ++i) deep += "for a" + std::to_string(i) + " < n {\n";
  EXPECT_THROW(parse_kernel(deep), Error);
  EXPECT_THROW(parse_kernel("kernel k(n; out Y: f32[" + std::string(100000, '(') + "] by [1]) scratch 0 {}"), Error);
}

}  // namespace
}  // namespace tn::loops
