// Ops that touch the world: print, callback, assert. They run once, in the order they were written.
#include "op/effects.h"

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>

#include "op/families.h"
#include "op/lanes.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using Types = std::span<const Type>;

// ---------------------------------------------------------------- print

/// Nested brackets, for programs without the tensor room.
std::string plain_text(const Array& a) {
  std::string text;
  for_each_index(a.shape, [&](std::span<const i64> index, i64 place) {
    bool opens = true;
    for (size_t i = index.size(); i-- > 0 && opens; opens = opens && index[i] == 0)
      if (index[i] == 0) text += "[";
    char number[32];
    if (is_float(a.dtype))
      std::snprintf(number, sizeof number, "%.8g", a.get(place));
    else
      std::snprintf(number, sizeof number, "%lld", static_cast<long long>(a.get_int(place)));
    text += number;
    bool closes = true;
    for (size_t i = index.size(); i-- > 0 && closes; closes = closes && index[i] + 1 == a.shape[i])
      if (index[i] + 1 == a.shape[i]) text += "]";
    if (place + 1 < a.size()) text += ", ";
  });
  return text.empty() ? "[]" : text;
}

std::atomic<std::string (*)(const Array&)> array_text{plain_text};

std::vector<Type> no_results(Types, const Attrs&) { return {}; }

void print_run(std::span<const Array> x, std::span<Array>, const Attrs& a) {
  const auto& label = a.get<std::string>("label");
  std::string line = label + (label.empty() ? "" : ": ") + array_text.load()(x[0]) + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

/// Lanes are printed together: the whole batch, once.
template <Name kOp>
Batched batch_whole(Builder& b, Dim, ValueSpan x, const Mask&, const Attrs& a) {
  b.emit(op(kOp), x, a);
  return {};
}

template <void (*kRun)(std::span<const Array>, std::span<Array>, const Attrs&)>
std::vector<Array> effect_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  std::vector<Array> r;
  for (Type t : results) r.push_back(empty_result(t, env));
  kRun(x, r, a);
  return r;
}

OpDef print_entry() {
  return {"print",
          1,
          "Prints `label` and the value when it is computed, once; a mapped one prints the whole batch.",
          {{{"x"}}, {{"label", AttrKind::string, Attr(std::string())}}},
          no_results,
          Zero{},
          AxesFn{batch_whole<"print">},
          Native{print_run},
          RefArrays{effect_ref<print_run>},
          Ordered{"io"},
          [] {
            Attrs label{{"label", std::string("x")}};
            return std::vector<Sample>{
                sample_of(DType::f32, {2, 2}, 1, 0, 1, label), sample_of(DType::i64, {}, 1, 0, 9, label),
                sample_of(DType::f32, {0}, 1, 0, 1, label), sample_of(DType::boolean, {3}, 1, 0, 2, label),
                failing({{DType::f32, {1}, 0, 1, {}}}, "expected no attribute 'text'", {{"text", std::string("x")}})};
          }};
}

// ---------------------------------------------------------------- assert

void assert_run(std::span<const Array> x, std::span<Array>, const Attrs& a) {
  for (i64 i = 0; i < x[0].size(); ++i)
    if (!x[0].get_int(i)) {
      const auto& message = a.get<std::string>("message");
      std::string where = x[0].shape.empty() ? "" : " (element " + std::to_string(i) + ")";
      if (message.starts_with('[')) throw Error(message);  // an assert of ours that says all
      fail("assert", "expected true, got false" + where + (message.empty() ? "" : "; " + message));
    }
}

OpDef assert_entry() {
  return {"assert",
          1,
          "Error with `message` when the program runs and not every element is true.",
          {{{"condition", Operands::boolean}}, {{"message", AttrKind::string, Attr(std::string())}}},
          no_results,
          Zero{},
          AxesFn{batch_whole<"assert">},
          Native{assert_run},
          RefArrays{effect_ref<assert_run>},
          Ordered{"assert"},
          [] {
            return std::vector<Sample>{{{values_of(DType::boolean, {1, 1})}, {}, {}, 0},
                                       {{{DType::boolean, {}, 0, 0, {1}}}, {}, {}, 0},
                                       sample_of(DType::boolean, {0}),
                                       failing({{DType::f32, {1}, 0, 1, {}}}, "expected a bool tensor")};
          }};
}

// ---------------------------------------------------------------- callback

struct Callbacks {
  std::mutex mutex;
  std::map<i64, HostFunction> functions;
  i64 next = 1;
};

Callbacks& callbacks() {
  static auto* c = new Callbacks;
  return *c;
}

void callback_run(std::span<const Array> x, std::span<Array> results, const Attrs& a) {
  HostFunction function;
  {
    Callbacks& c = callbacks();
    std::lock_guard lock(c.mutex);
    auto found = c.functions.find(a.get<i64>("id"));
    if (found == c.functions.end())
      fail("callback", "expected the id of a registered function, got " + std::to_string(a.get<i64>("id")) +
                           "; a graph with callbacks runs only in the process that made it");
    function = found->second;
  }
  function(x, results);
}

std::vector<Type> callback_type(Types, const Attrs& a) { return a.get<GraphPtr>("results")->output_types(); }

Batched callback_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return batch_by_scan(op("callback"), b, n, x, batched, a);
}

/// A function that doubles numbers, for the samples.
i64 doubling() {
  static const i64 id = register_callback([](std::span<const Array> x, std::span<Array> r) {
    for (i64 i = 0; i < x[0].size(); ++i) r[0].set(i, 2 * x[0].get(i));
  });
  return id;
}

OpDef callback_entry() {
  return {
      "callback",
      1,
      "Calls a function of the host, once; its results have the types of the outputs of graph `results`.",
      {{{"operands", Operands::any, true}}, {{"id", AttrKind::integer, {}}, {"results", AttrKind::graph, {}}}, false},
      callback_type,
      NoGrad{"the host's function is unknown to us; wrap it in custom_vjp or custom_jvp"},
      AxesFn{callback_batch},
      Native{callback_run, true},
      RefArrays{effect_ref<callback_run>},
      Ordered{"io"},
      [] {
        Type t = Type::tensor(DType::f64, {3});
        GraphPtr same = make_graph({&t, 1}, [](Builder&, ValueSpan x) { return Values{x[0]}; });
        return std::vector<Sample>{sample_of(DType::f64, {3}, 1, 0, 1, {{"id", doubling()}, {"results", same}})};
      }};
}

}  // namespace

i64 register_callback(HostFunction function) {
  Callbacks& c = callbacks();
  std::lock_guard lock(c.mutex);
  c.functions.emplace(c.next, std::move(function));
  return c.next++;
}

void remove_callback(i64 id) {
  Callbacks& c = callbacks();
  decltype(c.functions)::node_type gone;  // what the function holds ends after the lock
  std::lock_guard lock(c.mutex);
  gone = c.functions.extract(id);
}

void set_array_text(std::string (*text)(const Array&)) { array_text = text ? text : plain_text; }

std::span<const OpDef> effect_ops() {
  static const auto* table = new std::vector<OpDef>{print_entry(), assert_entry(), callback_entry()};
  return *table;
}

}  // namespace tn
