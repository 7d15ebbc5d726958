// A check is itself checked: each rule is broken once, in a process of its own, and the stacks of transforms must
// notice.
#include <cstdlib>

#include "op/families.h"
#include "op/region_rules.h"
#include "run_stack.h"

namespace tn::testing {

namespace {

/// In a child process: puts the broken entry in place, runs the stacks and exits with 0 when one of them failed.
/// Nothing may look ops up before, so no other test lives in this program.
void expect_noticed(const std::function<OpDef()>& broken, const std::vector<std::string>& stacks) {
  auto child = [&] {
    static const OpDef kBroken = broken();
    exchange_op(&kBroken);
    for (const std::string& letters : stacks)
      for (unsigned program = 0; program < 12; ++program)
        for (double x : {0.31, 0.6}) {
          Stack s{letters, program, x};
          if (!wrong(s, run_stack(s)).empty()) std::_Exit(0);
        }
    std::_Exit(1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "") << "no stack notices the broken rule";
}

/// The same stacks pass while nothing is broken.
void expect_right(const std::vector<std::string>& stacks) {
  auto child = [&] {
    for (const std::string& letters : stacks)
      for (unsigned program = 0; program < 12; ++program) {
        Stack s{letters, program, 0.31};
        if (!wrong(s, run_stack(s)).empty()) std::_Exit(1);
      }
    std::_Exit(0);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

OpDef with_region(std::string_view name, const Region& region) {
  const OpDef& o = op(name);
  return {o.name, o.version, o.doc, o.signature, o.type, region, o.axes, o.lower, o.ref, o.effect, o.samples};
}
OpDef with_axes(std::string_view name, AxesFn axes) {
  const OpDef& o = op(name);
  return {o.name, o.version, o.doc, o.signature, o.type, o.grad, axes, o.lower, o.ref, o.effect, o.samples};
}
OpDef with_grad(std::string_view name, const Grad& grad) {
  const OpDef& o = op(name);
  return {o.name, o.version, o.doc, o.signature, o.type, grad, o.axes, o.lower, o.ref, o.effect, o.samples};
}

const std::vector<std::string> kStacks{"sg",  "Sg", "kg",  "wg", "tg", "cg", "xg", "sj",  "kj",  "wj", "xj",  "vg",
                                       "skg", "sv", "Svg", "wv", "kv", "g",  "gg", "csg", "cgg", "yg", "yvg", "wkv"};

TEST(Mutations, NothingBroken) { expect_right(kStacks); }

// ---------------------------------------------------------------- categories

TEST(Mutations, PartialsWithTheWrongSign) {
  expect_noticed([] { return with_grad("cos", Partials{[](ValueSpan x, Value, int) { return sin(x[0]); }}); },
                 {"g", "j"});
}
TEST(Mutations, BilinearWithTheWrongOperand) {
  auto transpose = [](ValueSpan x, Value ct, int i, const Attrs&, std::span<const Type>) {
    return i ? mul(x[0], ct) : mul(ct, ct);
  };
  expect_noticed([=] { return with_grad("mul", Bilinear{transpose}); }, {"g"});
}
TEST(Mutations, LinearInTooFewOperands) {
  auto transpose = [](ValueSpan, Value ct, int, const Attrs&, std::span<const Type>) { return ct; };
  expect_noticed([=] { return with_grad("add", Linear{1, transpose}); }, {"j", "g"});
}
TEST(Mutations, AxesNotShifted) {
  AxesFn axes{[](Builder& b, Dim, ValueSpan x, const Mask&, const Attrs& attrs) {
    return all_batched(b.emit(op("cumsum"), x, attrs));
  }};
  expect_noticed([=] { return with_axes("cumsum", axes); }, {"v", "vg"});
}

// ---------------------------------------------------------------- scan

TEST(Mutations, ScanTransposedInTheSameDirection) {
  Region region = kScanRegion;
  region.transpose = [](Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                        std::span<const Type> results, std::span<const Type> operands) {
    Attrs turned = attrs.with("reverse", !attrs.get<bool>("reverse"));
    return kScanRegion.transpose(b, x, linear, ct, turned, results, operands);
  };
  expect_noticed([=] { return with_region("scan", region); }, {"sg", "Sg"});
}
TEST(Mutations, ScanLosesTheCotangentsOfItsConstants) {
  Region region = kScanRegion;
  region.transpose = [](Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                        std::span<const Type> results, std::span<const Type> operands) {
    Values given = kScanRegion.transpose(b, x, linear, ct, attrs, results, operands);
    for (i64 i = 0; i < attrs.get<i64>("consts"); ++i) given[static_cast<size_t>(i)] = {};
    return given;
  };
  expect_noticed([=] { return with_region("scan", region); }, {"sg", "Sg"});
}
TEST(Mutations, ScanLosesATangentOfItsCarry) {
  Region region = kScanRegion;
  region.jvp = [](Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
    Values y = kScanRegion.jvp(b, x, t, attrs, dy);
    dy[0] = {};
    return y;
  };
  expect_noticed([=] { return with_region("scan", region); }, {"sj", "sg"});
}
TEST(Mutations, ScanSplitStartsFromAnotherCarry) {
  Region region = kScanRegion;
  region.split = [](Builder& b, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
    Values moved(x.begin(), x.end());
    for (Value& v : moved)
      if (v && v.type() == scalar_type()) v = mul(v, 0.5);
    return kScanRegion.split(b, moved, unknown, attrs);
  };
  expect_noticed([=] { return with_region("scan", region); }, {"sg", "Sg"});
}
TEST(Mutations, ScanMapsItsBodyOverNothing) {
  AxesFn axes{[](Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
    Attrs turned = attrs.with("reverse", !attrs.get<bool>("reverse"));
    return kScanAxes.batch(b, n, x, batched, turned);
  }};
  expect_noticed([=] { return with_axes("scan", axes); }, {"sv", "Sv"});
}

// ---------------------------------------------------------------- cond

TEST(Mutations, CondTransposesTheOtherBranch) {
  Region region = kCondRegion;
  region.transpose = [](Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                        std::span<const Type> results, std::span<const Type> operands) {
    Attrs turned{{"then", attrs.get<GraphPtr>("else")}, {"else", attrs.get<GraphPtr>("then")}};
    return kCondRegion.transpose(b, x, linear, ct, turned, results, operands);
  };
  expect_noticed([=] { return with_region("cond", region); }, {"kg"});
}
TEST(Mutations, CondIgnoresThatLanesDiffer) {
  AxesFn axes{[](Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
    Values moved(x.begin(), x.end());
    if (batched[0]) moved[0] = flip(moved[0], {0});
    return kCondAxes.batch(b, n, moved, batched, attrs);
  }};
  expect_noticed([=] { return with_axes("cond", axes); }, {"kv"});
}
TEST(Mutations, CondDropsATangent) {
  Region region = kCondRegion;
  region.jvp = [](Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
    Values y = kCondRegion.jvp(b, x, t, attrs, dy);
    dy[0] = {};
    return y;
  };
  expect_noticed([=] { return with_region("cond", region); }, {"kj"});
}

TEST(Mutations, CondSplitsTheOtherBranch) {
  Region region = kCondRegion;
  region.split = [](Builder& b, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
    Values moved(x.begin(), x.end());
    if (moved[0]) moved[0] = logical_not(moved[0]);
    return kCondRegion.split(b, moved, unknown, attrs);
  };
  expect_noticed([=] { return with_region("cond", region); }, {"kg"});
}
TEST(Mutations, CondGuardsTheOtherBranch) {
  Region region = kCondRegion;
  region.guard = [](Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
    return kCondRegion.guard(b, logical_not(lane), x, attrs);
  };
  expect_noticed([=] { return with_region("cond", region); }, {"wkkv", "akkv", "wkkvg"});
}

// ---------------------------------------------------------------- while

TEST(Mutations, WhileMapsOtherLanes) {
  AxesFn axes{[](Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
    Values moved(x.begin(), x.end());
    if (batched[0]) moved[0] = flip(moved[0], {0});
    return kWhileAxes.batch(b, n, moved, batched, attrs);
  }};
  expect_noticed([=] { return with_axes("while", axes); }, {"wv"});
}
TEST(Mutations, WhileGuardsTheOtherLanes) {
  Region region = kWhileRegion;
  region.guard = [](Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
    return kWhileRegion.guard(b, logical_not(lane), x, attrs);
  };
  expect_noticed([=] { return with_region("while", region); }, {"wkv"});
}
TEST(Mutations, WhileReversesFewerSteps) {
  Region region = kWhileRegion;
  region.split = [](Builder& b, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
    return kWhileRegion.split(b, x, unknown, attrs.with("bound", i64{2}));
  };
  expect_noticed([=] { return with_region("while", region); }, {"wg"});
}
TEST(Mutations, WhileDropsATangent) {
  Region region = kWhileRegion;
  region.jvp = [](Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
    Values less_t(t.begin(), t.end());
    less_t[0] = {};
    return kWhileRegion.jvp(b, x, less_t, attrs, dy);
  };
  expect_noticed([=] { return with_region("while", region); }, {"wj", "wg"});
}

// ---------------------------------------------------------------- call, barrier, custom_jvp

TEST(Mutations, CallLosesACotangent) {
  Region region = kCallRegion;
  region.transpose = [](Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                        std::span<const Type> results, std::span<const Type> operands) {
    Values given = kCallRegion.transpose(b, x, linear, ct, attrs, results, operands);
    for (Value& v : given)
      if (v) v = neg(v);
    return given;
  };
  expect_noticed([=] { return with_region("call", region); }, {"tg", "cg"});
}
TEST(Mutations, CheckpointComputesAgainFromOtherOperands) {
  Region region = kCallRegion;
  region.split = [](Builder& b, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
    auto s = kCallRegion.split(b, x, unknown, attrs);
    if (attrs.get<bool>("remat"))
      for (Value& v : s->residuals)
        if (v.type() == scalar_type()) v = mul(v, 0.5);
    return s;
  };
  expect_noticed([=] { return with_region("call", region); }, {"cg"});
}
TEST(Mutations, BarrierSwallowsCotangents) {
  Region region = kBarrierRegion;
  region.jvp = [](Builder& b, ValueSpan x, ValueSpan, const Attrs&, Values&) { return b.emit(op("barrier"), x); };
  expect_noticed([=] { return with_region("barrier", region); }, {"cgg", "cgj"});
}
TEST(Mutations, CustomVjpScalesItsCotangent) {
  Region region = kCustomVjpTangentRegion;
  region.transpose = [](Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                        std::span<const Type> results, std::span<const Type> operands) {
    Values scaled(ct.begin(), ct.end());
    for (Value& v : scaled)
      if (v) v = mul(v, 0.5);
    return kCustomVjpTangentRegion.transpose(b, x, linear, scaled, attrs, results, operands);
  };
  expect_noticed([=] { return with_region("custom_vjp_tangent", region); }, {"yg"});
}
TEST(Mutations, CustomVjpMapsOtherLanes) {
  AxesFn axes{[](Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
    Values moved(x.begin(), x.end());
    for (Value& v : moved) v = mul(v, 0.9);
    return kCustomVjpAxes.batch(b, n, moved, batched, attrs);
  }};
  expect_noticed([=] { return with_axes("custom_vjp", axes); }, {"yv", "yvg"});
}
TEST(Mutations, CustomJvpIgnoresItsRule) {
  Region region = kCustomJvpRegion;
  region.jvp = [](Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
    Values y = kCustomJvpRegion.jvp(b, x, t, attrs, dy);
    dy[0] = t[0];
    return y;
  };
  expect_noticed([=] { return with_region("custom_jvp", region); }, {"xj", "xg"});
}

}  // namespace

}  // namespace tn::testing
