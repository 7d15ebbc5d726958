// Tests made from every op's entry: what the type rule says against what the oracle gives, expected errors with their
// text, sizes as symbols, and text that parses back.
#include <gtest/gtest.h>

#include <map>

#include "backend/ref/ref.h"
#include "each_op.h"
#include "harness.h"

namespace tn::test {

class Entry : public testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& op() const { return *GetParam(); }
};

TEST_P(Entry, ResultsHaveTheirTypes) {
  for (const Sample& s : good_samples(op())) {
    SCOPED_TRACE(describe(op(), s));
    GraphPtr g = call_graph(op(), s);
    verify(*g);
    std::vector<Array> y = ref_run(g, make_operands(s));
    ASSERT_EQ(y.size(), g->outputs().size());
  }
}

TEST_P(Entry, BadCallsSayWhatIsWrong) {
  for (const Sample& s : op().samples()) {
    if (s.error.empty()) continue;
    SCOPED_TRACE(describe(op(), s));
    try {
      call_graph(op(), s);
      FAIL() << "expected an error with '" << s.error << "'";
    } catch (const Error& e) {
      std::string text = e.what();
      EXPECT_NE(text.find(s.error), std::string::npos) << text << "\nshould hold: " << s.error;
      EXPECT_EQ(text.rfind("[" + std::string(op().name) + "]", 0), 0u) << text;
    }
  }
}

TEST_P(Entry, PrintsAndParsesBack) {
  for (const Sample& s : good_samples(op())) {
    SCOPED_TRACE(describe(op(), s));
    GraphPtr g = call_graph(op(), s);
    std::string text = to_string(*g);
    GraphPtr back = parse_graph(text);
    EXPECT_EQ(to_string(*back), text);
    EXPECT_EQ(back, g) << text;
  }
}

/// Every extent over 2 (a random key is two words) becomes a symbol, equal ones the same, in types and in attributes
/// that are dims.
struct Symbols {
  i64 least;
  std::map<i64, Dim> of;
  DimEnv env;
  Dim symbol(i64 extent) {
    auto [at, made] = of.try_emplace(extent, Dim::symbol("n" + std::to_string(extent)));
    if (made) env.set(at->second, extent);
    return at->second;
  }
  Type type(Type t) {
    Shape shape;
    for (Dim d : t.shape()) shape.push_back(d.value() > 2 ? symbol(d.value()) : d);
    return t.with(shape);
  }
  Attrs attrs(const Attrs& a) {
    std::vector<NamedAttr> items(a.items().begin(), a.items().end());
    for (auto& [key, value] : items)
      if (auto* shape = std::get_if<Shape>(&value))
        for (Dim& d : *shape)
          if (d.is_constant() && of.contains(d.value())) d = of[d.value()];
    return Attrs(std::move(items));
  }
};

static bool holds_graph(const Attrs& attrs) {
  for (const auto& [key, value] : attrs.items())
    if (std::holds_alternative<GraphPtr>(value)) return true;
  return false;
}

/// Whether the sample's call works with every extent above `least` a symbol; then it gives the same numbers.
static bool works_with_symbols(const OpDef& op, const Sample& s, i64 least) {
  Symbols symbols{least, {}, {}};
  std::vector<Type> types;
  for (Type t : types_of(s)) types.push_back(symbols.type(t));
  GraphPtr g, concrete = call_graph(op, s);
  try {
    g = call_graph(op, types, symbols.attrs(s.attrs));
  } catch (const Error&) { return false; }  // an attribute may depend on the very size
  std::vector<Array> x = make_operands(s), want = ref_run(concrete, x), got = ref_run(g, x);
  EXPECT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(difference_of(got[i], want[i], {}), "");
  EXPECT_EQ(parse_graph(to_string(*g)), g) << to_string(*g);
  return true;
}

TEST_P(Entry, SizesMayBeSymbols) {
  int checked = 0, wanted = 0;
  for (const Sample& s : good_samples(op())) {
    if (holds_graph(s.attrs)) continue;  // a graph's own types state its sizes
    SCOPED_TRACE(describe(op(), s));
    i64 greatest = 0;
    for (const SampleOperand& o : s.operands)
      for (i64 extent : o.shape) greatest = std::max(greatest, extent);
    if (greatest < 2) continue;
    bool works = works_with_symbols(op(), s, 1) || works_with_symbols(op(), s, 2);  // a key has exactly two numbers
    checked += works;
    wanted += greatest > 2;
  }
  EXPECT_TRUE(checked || !wanted) << "no sample works with symbolic sizes";
}

INSTANTIATE_TEST_SUITE_P(Ops, Entry, each_op(), op_name);

}  // namespace tn::test
