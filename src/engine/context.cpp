// Contexts: one run of a plan at a time, on tensors or on the user's memory.
#include "runtime/context.h"

#include <cstdint>
#include <cstring>

#include "engine/plan_state.h"
#include "tensor/evaluate.h"

namespace tn::engine {

struct Context::State {
  explicit State(Plan p)
      : plan(std::move(p)),
        context(plan.state().plan),
        inputs(plan.inputs().size()),
        outputs(plan.outputs().size()),
        input_pointers(inputs.size()),
        output_pointers(outputs.size()) {}

  struct Input {  // bound memory may be null where it holds nothing
    bool bound = false;
    std::byte* data = nullptr;
    std::vector<i64> shape;
    StoragePtr stage;
  };
  struct Output {
    bool bound = false;
    std::byte* data = nullptr;
    size_t bytes = 0;
    StoragePtr stage;
  };
  Plan plan;
  tn::Context context;
  std::vector<Input> inputs;  // the user's memory
  std::vector<Output> outputs;
  std::vector<std::vector<i64>> shapes, output_shapes;  // what the context is bound to
  std::vector<std::byte*> input_pointers, output_pointers;

  [[noreturn]] void refuse(size_t i, const std::string& why) const {
    const NamedType& want = plan.inputs()[i];
    fail("run", "expected " + to_string(want.type) + " for input '" + want.name + "', got " + why);
  }

  /// Extents that are numbers or sizes met before; a size met first is taken.
  void check_input(size_t i, std::span<const i64> shape, DimEnv& env) const {
    std::span<const Dim> want = plan.inputs()[i].type.shape();
    if (shape.size() != want.size()) refuse(i, std::to_string(shape.size()) + " axes");
    for (size_t a = 0; a < shape.size(); ++a) {
      Dim d = want[a];
      if (shape[a] < 0) refuse(i, "extent " + std::to_string(shape[a]) + " on axis " + std::to_string(a));
      std::optional<i64> known = d.is_constant() ? std::optional(d.value())
                                 : d.is_symbol() ? env.find(d)
                                                 : std::nullopt;
      if (known && *known != shape[a])
        refuse(i, "extent " + std::to_string(shape[a]) + " on axis " + std::to_string(a) + ", where " + to_string(d) +
                      " is " + std::to_string(*known));
      if (!known && d.is_symbol()) env.set(d, shape[a]);
    }
  }

  /// Extents that are expressions, once all sizes are known.
  void check_expressions(size_t i, std::span<const i64> shape, const DimEnv& env) const {
    std::span<const Dim> want = plan.inputs()[i].type.shape();
    for (size_t a = 0; a < shape.size(); ++a)
      if (i64 value = evaluate(want[a], env); value != shape[a])
        refuse(i, "extent " + std::to_string(shape[a]) + " on axis " + std::to_string(a) + ", where " +
                      to_string(want[a]) + " is " + std::to_string(value));
  }

  void check_profiles(const DimEnv& env) const {
    for (const ShapeProfile& p : plan.profiles())
      if (auto v = env.find(Dim::symbol(p.name)); v && (*v < p.min || *v > p.max))
        fail("run", "expected size '" + p.name + "' from " + std::to_string(p.min) + " to " + std::to_string(p.max) +
                        ", got " + std::to_string(*v) + "; build the plan with a wider profile");
  }

  /// Plans memory for the shapes, unless they are the last ones. shape_of(i) is that of input i.
  template <class ShapeOf>
  void bind_shapes(ShapeOf shape_of) {
    auto same = [&] {
      for (size_t i = 0; i < shapes.size(); ++i)
        if (shapes[i] != shape_of(i)) return false;
      return shapes.size() == inputs.size();
    };
    if (context.bound() && same()) return;
    DimEnv env;
    for (size_t i = 0; i < inputs.size(); ++i) check_input(i, shape_of(i), env);
    check_profiles(env);
    for (size_t i = 0; i < inputs.size(); ++i) check_expressions(i, shape_of(i), env);
    context.bind(env);
    shapes.clear();
    for (size_t i = 0; i < inputs.size(); ++i) shapes.push_back(shape_of(i));
    output_shapes.clear();
    for (const NamedType& o : plan.outputs()) {
      std::vector<i64> shape;
      for (Dim d : o.type.shape()) shape.push_back(evaluate(d, env));
      output_shapes.push_back(std::move(shape));
    }
  }

  /// Memory for a kernel: the user's, or `stage` where that is not aligned as kernels want it.
  static std::byte* aligned(std::byte* data, size_t bytes, StoragePtr& stage) {
    if (reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0) return data;
    if (!stage || stage->bytes() < bytes) stage = Storage::allocate(bytes);
    return stage->data();
  }

  static size_t bytes_of(const NamedType& what, std::span<const i64> shape) {
    auto count = static_cast<size_t>(bytes(what.type.dtype()));
    for (i64 e : shape) count *= static_cast<size_t>(e);
    return count;
  }

  size_t position(const std::vector<NamedType>& list, std::string_view name, const char* what) const {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].name == name) return i;
    fail("bind", "expected the name of an " + std::string(what) + ", got '" + std::string(name) + "'");
  }
};

Context::Context(Plan plan) : state_(std::make_unique<State>(std::move(plan))) {}
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;
Context::~Context() = default;

std::vector<Tensor> Context::run(std::span<const Tensor> inputs) {
  State& s = *state_;
  if (inputs.size() != s.inputs.size())
    fail("run", "expected " + std::to_string(s.inputs.size()) + " inputs, got " + std::to_string(inputs.size()));
  std::vector<Array> arrays;
  for (size_t i = 0; i < inputs.size(); ++i) {
    arrays.push_back(value_of(node_of(inputs[i], "run", Location::current()), Location::current()));
    DType want = s.plan.inputs()[i].type.dtype(), got = arrays[i].dtype;
    if (got != want)
      fail("run", "expected " + std::string(name(want)) + " for input '" + s.plan.inputs()[i].name + "', got " +
                      std::string(name(got)) + "; use cast");
    s.input_pointers[i] = arrays[i].bytes_begin();
  }
  s.bind_shapes([&](size_t i) -> const std::vector<i64>& { return arrays[i].shape; });
  std::vector<Tensor> results;
  for (size_t o = 0; o < s.outputs.size(); ++o) {
    Array a = Array::empty(s.plan.outputs()[o].type.dtype(), s.output_shapes[o]);
    s.output_pointers[o] = a.bytes_begin();
    results.push_back(handle(new_value(std::move(a), Location::current())));
  }
  s.context.run(s.input_pointers, s.output_pointers);
  return results;
}

void Context::bind_input(std::string_view name, const void* data, std::span<const i64> shape) {
  State::Input& input = state_->inputs[state_->position(state_->plan.inputs(), name, "input")];
  input.bound = true;
  input.data = static_cast<std::byte*>(const_cast<void*>(data));
  input.shape.assign(shape.begin(), shape.end());
}

void Context::bind_output(std::string_view name, void* data, size_t bytes_) {
  State::Output& output = state_->outputs[state_->position(state_->plan.outputs(), name, "output")];
  output.bound = true;
  output.data = static_cast<std::byte*>(data);
  output.bytes = bytes_;
}

void Context::run() {
  State& s = *state_;
  for (size_t i = 0; i < s.inputs.size(); ++i)
    if (!s.inputs[i].bound || (!s.inputs[i].data && s.bytes_of(s.plan.inputs()[i], s.inputs[i].shape)))
      fail("run", "expected memory for input '" + s.plan.inputs()[i].name + "', got none; call bind_input");
  s.bind_shapes([&](size_t i) -> const std::vector<i64>& { return s.inputs[i].shape; });
  for (size_t o = 0; o < s.outputs.size(); ++o) {
    State::Output& output = s.outputs[o];
    size_t need = s.bytes_of(s.plan.outputs()[o], s.output_shapes[o]);
    if (!output.bound || output.bytes < need || (!output.data && need))
      fail("run", "expected " + std::to_string(need) + " bytes for output '" + s.plan.outputs()[o].name + "', got " +
                      std::to_string(output.bytes) + "; call bind_output");
    s.output_pointers[o] = s.aligned(output.data, need, output.stage);
  }
  for (size_t i = 0; i < s.inputs.size(); ++i) {
    State::Input& input = s.inputs[i];
    size_t size = s.bytes_of(s.plan.inputs()[i], input.shape);
    s.input_pointers[i] = s.aligned(input.data, size, input.stage);
    if (s.input_pointers[i] != input.data && size) std::memcpy(s.input_pointers[i], input.data, size);
  }
  s.context.run(s.input_pointers, s.output_pointers);
  for (size_t o = 0; o < s.outputs.size(); ++o) {
    size_t size = s.bytes_of(s.plan.outputs()[o], s.output_shapes[o]);
    if (s.output_pointers[o] != s.outputs[o].data && size) std::memcpy(s.outputs[o].data, s.output_pointers[o], size);
  }
}

std::vector<i64> Context::output_shape(std::string_view name) const {
  size_t o = state_->position(state_->plan.outputs(), name, "output");
  if (o >= state_->output_shapes.size()) fail("output_shape", "expected a run first, got none");
  return state_->output_shapes[o];
}

}  // namespace tn::engine
