// Stacks of transforms over a program of one f64 scalar, built twice: from the transforms under test, and from loops,
// unrolling, `if` and MultiDual derivatives.
//
//   g grad   j jvp   v vmap over two inputs   t call (jit)   c checkpoint   s scan   S reverse scan that stacks
//   k cond   w while   a assert   x custom_jvp   y custom_vjp
#pragma once
#include <stdexcept>
#include <string>

#include "random_program.h"
#include "transform/transform.h"

namespace tn::testing {

using GraphFunction = std::function<Value(Value)>;
using PlainFunction = std::function<MultiDual(MultiDual)>;

/// The oracle's while ran out of steps; the graph must fail too.
struct OutOfSteps : std::runtime_error {
  OutOfSteps() : std::runtime_error("more steps than the bound") {}
};

inline constexpr i64 kBound = 40;
inline constexpr std::string_view kLetters = "gjvtcsSkwaxy";

inline Type scalar_type() { return Type::tensor(DType::f64, {}); }
inline Value number(Value like, double v) { return constant(*like.builder, v, scalar_type()); }

/// The closed graph of f, of one scalar and `extra` more that f's caller captured.
inline GraphPtr close(const std::function<Value(ValueSpan)>& f, size_t inputs) {
  std::vector<Type> types(inputs, scalar_type());
  return make_graph(types, [&](Builder&, ValueSpan x) { return Values{f(x)}; });
}
inline GraphPtr close(const GraphFunction& f) {
  return close([&](ValueSpan x) { return f(x[0]); }, 1);
}

inline Value emit_scan(const GraphFunction& f, Value x, bool stacked) {
  Type t = scalar_type();
  std::vector<Type> types{t, t, t};
  GraphPtr body = make_graph(types, [&](Builder&, ValueSpan v) {
    Value next = add(mul(sin(f(v[1])), v[2]), mul(v[1], v[0]));
    return stacked ? Values{next, mul(v[1], v[2])} : Values{next};
  });
  Array steps = Array::empty(DType::f64, {2});
  steps.set(0, 0.3);
  steps.set(1, 0.2);
  Attrs attrs{{"body", body}, {"consts", i64{1}}, {"carry", i64{1}}, {"length", Shape{2}}, {"reverse", stacked}};
  Values r = x.builder->emit(op("scan"), Values{x, x, constant(*x.builder, steps)}, attrs);
  return stacked ? add(r[0], sum(r[1], {0})) : r[0];
}

inline Value emit_while(const GraphFunction& f, Value x) {
  Type t = scalar_type();
  std::vector<Type> types{t, t, t};
  GraphPtr body = make_graph(
      types, [&](Builder&, ValueSpan v) { return Values{add(add(v[2], mul(mul(v[0], v[0]), mul(v[1], v[1]))), 0.4)}; });
  GraphPtr condition = make_graph(types, [&](Builder&, ValueSpan v) { return Values{less(v[2], number(v[2], 1.7))}; });
  Attrs attrs{{"cond", condition}, {"body", body}, {"consts", i64{2}}, {"bound", kBound}};
  return x.builder->emit(op("while"), Values{sin(f(x)), x, x}, attrs)[0];
}

inline Value emit_custom_jvp(const GraphFunction& f, Value x) {
  GraphPtr primal = close([&](ValueSpan v) { return sin(f(v[0])); }, 1);
  std::vector<Type> types(2, scalar_type());
  GraphPtr tangent = make_graph(types, [&](Builder& b, ValueSpan v) {
    Transformed j = jvp_graph(close(f), {true});
    Values y = inline_graph(b, *j.graph, v);
    Value dy = j.mask[0] ? mul(cos(y[0]), y[1]) : number(v[0], 0);
    return Values{sin(y[0]), dy};
  });
  return x.builder->emit(op("custom_jvp"), Values{x}, {{"primal", primal}, {"tangent", tangent}})[0];
}

inline Value emit_custom_vjp(const GraphFunction& f, Value x) {
  std::vector<Type> one(1, scalar_type()), two(2, scalar_type());
  GraphPtr forward = make_graph(one, [&](Builder&, ValueSpan v) { return Values{sin(f(v[0])), v[0]}; });
  GraphPtr backward = make_graph(two, [&](Builder& b, ValueSpan v) {
    Values y = inline_graph(b, *vjp_graph(close(f), {true}), Values{v[0], v[1]});
    return Values{mul(cos(y[0]), y[1])};
  });
  Attrs attrs{{"forward", forward}, {"backward", backward}, {"results", i64{1}}};
  return x.builder->emit(op("custom_vjp"), Values{x}, attrs)[0];
}

inline Value emit_vmap(const GraphFunction& f, Value x) {
  GraphPtr scaled = close([&](ValueSpan v) { return f(mul(v[0], v[1])); }, 2);
  Array lanes = Array::empty(DType::f64, {2});
  lanes.set(0, 1);
  lanes.set(1, 0.9);
  GraphPtr mapped = vmap_graph_all(scaled, {false, true}, 2);
  return sum(inline_graph(*x.builder, *mapped, Values{x, constant(*x.builder, lanes)})[0], {0});
}

inline GraphFunction with_transform(char letter, GraphFunction f) {
  auto call = [f](Value x, bool remat) {
    return x.builder->emit(op("call"), Values{x}, {{"body", close(f)}, {"remat", remat}})[0];
  };
  switch (letter) {
    case 'g':
      return
          [f](Value x) { return inline_graph(*x.builder, *vjp_graph(close(f), {true}), Values{x, number(x, 1)})[1]; };
    case 'j':
      return [f](Value x) {
        Transformed j = jvp_graph(close(f), {true});
        if (!j.mask[0]) return number(x, 0);
        return inline_graph(*x.builder, *j.graph, Values{x, number(x, 1)})[1];
      };
    case 'v': return [f](Value x) { return emit_vmap(f, x); };
    case 't': return [call](Value x) { return call(x, false); };
    case 'c': return [call](Value x) { return call(x, true); };
    case 's': return [f](Value x) { return emit_scan(f, x, false); };
    case 'S': return [f](Value x) { return emit_scan(f, x, true); };
    case 'k':
      return [f](Value x) {
        GraphPtr otherwise = close([&](ValueSpan v) { return sin(f(v[0])); }, 1);
        Values operands{less(x, number(x, 0.55)), x};
        return x.builder->emit(op("cond"), operands, {{"then", close(f)}, {"else", otherwise}})[0];
      };
    case 'w': return [f](Value x) { return emit_while(f, x); };
    case 'a':
      return [f](Value x) {
        Value y = f(x);
        x.builder->emit(op("assert"), Values{less(mul(y, 0.0), number(y, 1))}, {{"message", std::string("finite")}});
        return y;
      };
    case 'y': return [f](Value x) { return emit_custom_vjp(f, x); };
    default: return [f](Value x) { return emit_custom_jvp(f, x); };
  }
}

/// `level` is the infinitesimal this place in the stack may use.
inline PlainFunction with_plain(char letter, PlainFunction f, int level) {
  switch (letter) {
    case 'g':
    case 'j': return [f, level](MultiDual x) { return derivative(f, x, level); };
    case 'v': return [f](MultiDual x) { return f(x) + f(x * 0.9); };
    case 's':
      return [f](MultiDual x) {
        MultiDual carry = x;
        for (double k : {0.3, 0.2}) carry = sin(f(carry)) * k + carry * x;
        return carry;
      };
    case 'S':
      return [f](MultiDual x) {
        MultiDual carry = x, stacked;
        for (double k : {0.2, 0.3}) {
          stacked = stacked + carry * k;
          carry = sin(f(carry)) * k + carry * x;
        }
        return carry + stacked;
      };
    case 'k': return [f](MultiDual x) { return x.value() < 0.55 ? f(x) : sin(f(x)); };
    case 'w':
      return [f](MultiDual x) {
        MultiDual carry = x, s = sin(f(x));
        for (i64 steps = 0; carry.value() < 1.7; ++steps) {
          if (steps == kBound) throw OutOfSteps();
          carry = carry + s * s * x * x + 0.4;
        }
        return carry;
      };
    case 'x':
    case 'y': return [f](MultiDual x) { return sin(f(x)); };
    default: return f;
  }
}

}  // namespace tn::testing
