// Sizes that depend on data: a fresh symbol for each place where one is found, kept apart when a graph is inlined
// twice.
#include "op/emit.h"
#include "support.h"

namespace tn::testing {

namespace {

/// The places of the true elements; how many is known only at run time.
const OpDef& nonzero() {
  static const OpDef kNonzero{"test_nonzero",
                              1,
                              "The indices of the true elements.",
                              {{{"x", Operands::boolean}}, {{"fresh", AttrKind::dims, {}}}},
                              [](std::span<const Type>, const Attrs& attrs) {
                                return std::vector{Type::tensor(DType::i64, attrs.get<Shape>("fresh"))};
                              },
                              Zero{},
                              AxesFn{[](Builder&, Dim, ValueSpan, const Mask&, const Attrs&) -> Batched {
                                fail("test_nonzero", "expected no vmap, for the length differs by lane");
                              }},
                              Structured{Structured::Kind::call},
                              RefNone{},
                              Pure{},
                              [] { return std::vector<Sample>{}; }};
  static const bool kOnce = [] {
    register_op(&kNonzero);
    return true;
  }();
  static_cast<void>(kOnce);
  return kNonzero;
}

Value found(Value x, Dim size) { return x.builder->emit1(nonzero(), {x}, {{"fresh", Shape{size}}}); }

const Type kFlags = Type::tensor(DType::boolean, {5});

TEST(Fresh, TwoInliningsHaveTheirOwnSizes) {
  GraphPtr g = make_graph(std::vector{kFlags}, [](Builder&, ValueSpan x) {
    Value i = found(x[0], Dim::fresh("n"));
    return Values{add(i, broadcast(constant(*i.builder, 1, DType::i64), shape_of(i), {}))};
  });
  GraphPtr both = make_graph(std::vector{kFlags, kFlags}, [&](Builder& b, ValueSpan x) {
    Value p = inline_graph(b, *g, x.first(1))[0], q = inline_graph(b, *g, x.subspan(1))[0];
    EXPECT_NE(p.type(), q.type());
    EXPECT_THROW(add(p, q), Error);
    return Values{p, q};
  });
  verify(*both);
  EXPECT_EQ(parse_graph(to_string(*both)), both);
}

TEST(Fresh, MayNotLeaveALoop) {
  Type t = Type::tensor(DType::i64, {});
  auto loop = [&](bool reduced) {
    GraphPtr body = make_graph(std::vector{t, kFlags}, [&](Builder&, ValueSpan x) {
      Value i = found(x[1], Dim::fresh("n"));
      return Values{x[0], reduced ? sum(i, {0}) : i};
    });
    return make_graph(std::vector{t, Type::tensor(DType::boolean, {3, 5})}, [&](Builder& b, ValueSpan x) {
      return b.emit(op("scan"), x, {{"body", body}, {"consts", i64{0}}, {"carry", i64{1}}, {"length", Shape{3}}});
    });
  };
  verify(*loop(true));
  try {
    loop(false);
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("[scan] expected results of a size known before the loop"), std::string::npos);
  }
}

}  // namespace

}  // namespace tn::testing
