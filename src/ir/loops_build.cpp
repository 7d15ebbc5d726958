#include <algorithm>

#include "ir/loops.h"
#include "tenon/error.h"

namespace tn::loops {

Dim row() {
  static const Dim r = Dim::symbol("'r");
  return r;
}

Dim lane() {
  static const Dim l = Dim::symbol("'l");
  return l;
}

std::vector<Val> Kernel::phases() const {
  std::vector<Val> found;
  for (size_t n = 0; n < nodes.size(); ++n)
    if (nodes[n].kind == Kind::loop && nodes[n].loop == LoopKind::parallel) found.push_back(static_cast<Val>(n));
  return found;
}

Dim element_offset(const Buffer& b, std::span<const Dim> index) {
  Dim offset = 0;
  for (size_t i = 0; i < index.size(); ++i) offset = offset + index[i] * b.strides[i];
  return offset;
}

// ---------------------------------------------------------------- declarations

Dim Builder::size(Dim symbol) {
  auto& sizes = kernel_.sizes;
  if (std::find(sizes.begin(), sizes.end(), symbol) == sizes.end()) sizes.push_back(symbol);
  return symbol;
}

int Builder::buffer(std::string name, DType dtype, Shape shape, Buffer::Role role, Shape strides) {
  if (strides.empty() && !shape.empty()) {
    strides.assign(shape.size(), Dim(1));
    for (size_t i = shape.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * shape[i + 1];
  }
  if (role != Buffer::Role::scratch) ++kernel_.buffer_arguments;
  // Parts of a kernel name their buffers for themselves; in its text each has a name of its own.
  auto taken = [&] { return std::ranges::any_of(kernel_.buffers, [&](const Buffer& b) { return b.name == name; }); };
  if (taken()) name += "_" + std::to_string(kernel_.buffers.size());
  kernel_.buffers.push_back({std::move(name), dtype, std::move(shape), std::move(strides), role, 0});
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

int Builder::alloc(std::string name, DType dtype, Shape shape) {
  int b = buffer(std::move(name), dtype, std::move(shape), Buffer::Role::scratch);
  Buffer& made = kernel_.buffers.back();
  made.offset = kernel_.scratch_bytes;
  Dim size = product(made.shape) * Dim(bytes(dtype));
  kernel_.scratch_bytes = kernel_.scratch_bytes + ceildiv(size, 64) * Dim(64);
  Node n{.kind = Kind::alloc};
  n.buffer = b;
  push(n);
  return b;
}

Val Builder::push(Node n, std::span<const Val> operands, std::span<const Dim> index) {
  n.first_arg = static_cast<u32>(kernel_.args.size());
  n.arg_count = static_cast<u32>(operands.size());
  kernel_.args.insert(kernel_.args.end(), operands.begin(), operands.end());
  n.first_dim = static_cast<u32>(kernel_.dims.size());
  n.dim_count = static_cast<u32>(index.size());
  kernel_.dims.insert(kernel_.dims.end(), index.begin(), index.end());
  kernel_.nodes.push_back(n);
  return static_cast<Val>(kernel_.nodes.size()) - 1;
}

// ---------------------------------------------------------------- values

Val Builder::constant(double v, DType dtype, int rows, int lanes) {
  if (!is_float(dtype)) return constant_int(static_cast<i64>(v), dtype, rows, lanes);
  Node n{.kind = Kind::constant};
  n.tile = {dtype, rows, lanes};
  n.number = dtype == DType::f32 ? static_cast<double>(static_cast<float>(v)) : v;
  return push(n);
}

Val Builder::constant_int(i64 v, DType dtype, int rows, int lanes) {
  if (is_float(dtype)) return constant(static_cast<double>(v), dtype, rows, lanes);
  Node n{.kind = Kind::constant};
  n.tile = {dtype, rows, lanes};
  n.whole = v;
  return push(n);
}

Val Builder::number(double v, Val like) { return constant(v, tile(like).dtype); }

Val Builder::dim(Dim d, DType dtype, int rows, int lanes) {
  Node n{.kind = Kind::dim};
  n.tile = {dtype, rows, lanes};
  return push(n, {}, {&d, 1});
}

Val Builder::map(ScalarOp op, std::initializer_list<Val> operands) {
  const ScalarInfo& meaning = info(op);
  Node n{.kind = Kind::map};
  n.op = op;
  n.tile = tile(*(operands.begin() + (op == ScalarOp::select ? 1 : 0)));
  for (Val v : operands) {
    n.tile.rows = std::max(n.tile.rows, tile(v).rows);
    n.tile.lanes = std::max(n.tile.lanes, tile(v).lanes);
  }
  if (static_cast<int>(operands.size()) != meaning.arity)
    internal("scalar op " + std::string(meaning.name) + " takes " + std::to_string(meaning.arity) + " operands");
  if (meaning.gives == ScalarInfo::Gives::boolean) n.tile.dtype = DType::boolean;
  return push(n, {operands.begin(), operands.size()});
}

Val Builder::cast(Val v, DType dtype) {
  if (tile(v).dtype == dtype) return v;
  Val made = map(ScalarOp::cast, {v});
  kernel_.nodes.back().tile.dtype = dtype;
  return made;
}

Val Builder::bitcast(Val v, DType dtype) {
  Val made = map(ScalarOp::bitcast, {v});
  kernel_.nodes.back().tile.dtype = dtype;
  return made;
}

Val Builder::reduce(ScalarOp op, Axis axis, Val v) {
  Node n{.kind = Kind::reduce};
  n.op = op;
  n.axis = axis;
  n.tile = tile(v);
  (axis == Axis::lanes ? n.tile.lanes : n.tile.rows) = 1;
  return push(n, {&v, 1});
}

Val Builder::scan(ScalarOp op, Val v) {
  Node n{.kind = Kind::scan};
  n.op = op;
  n.tile = tile(v);
  return push(n, {&v, 1});
}

Val Builder::slice(Axis axis, int at, Val v) {
  Node n{.kind = Kind::slice};
  n.axis = axis;
  n.at = at;
  n.tile = tile(v);
  (axis == Axis::lanes ? n.tile.lanes : n.tile.rows) = 1;
  return push(n, {&v, 1});
}

Val Builder::transpose(Val v) {
  Node n{.kind = Kind::transpose};
  n.tile = tile(v);
  std::swap(n.tile.rows, n.tile.lanes);
  return push(n, {&v, 1});
}

// ---------------------------------------------------------------- memory

static void set_limits(Node& n, const Builder::Limits& limits) {
  n.row_limit = limits.rows;
  n.lane_limit = limits.lanes;
  n.any = limits.any;
  n.number = limits.otherwise;
}

Val Builder::load(int buffer, std::span<const Dim> index, int rows, int lanes, const Limits& limits) {
  Node n{.kind = Kind::load};
  n.buffer = buffer;
  n.tile = {kernel_.buffers[static_cast<size_t>(buffer)].dtype, rows, lanes};
  set_limits(n, limits);
  return push(n, {}, index);
}

void Builder::store(int buffer, std::span<const Dim> index, Val v, const Limits& limits, bool stream) {
  Node n{.kind = Kind::store};
  n.buffer = buffer;
  n.tile = tile(v);
  n.stream = stream;
  set_limits(n, limits);
  push(n, {&v, 1}, index);
}

Val Builder::gather(int buffer, std::span<const Dim> index, int axis, Val at, const Limits& limits) {
  Node n{.kind = Kind::gather};
  n.buffer = buffer;
  n.tile = {kernel_.buffers[static_cast<size_t>(buffer)].dtype, tile(at).rows, tile(at).lanes};
  n.at = axis;
  set_limits(n, limits);
  return push(n, {&at, 1}, index);
}

void Builder::scatter(ScalarOp mode, int buffer, std::span<const Dim> index, int axis, Val at, Val v,
                      const Limits& limits) {
  Node n{.kind = Kind::scatter};
  n.op = mode;
  n.buffer = buffer;
  n.tile = tile(v);
  n.at = axis;
  set_limits(n, limits);
  Val both[] = {at, v};
  push(n, both, index);
}

void Builder::prefetch(int buffer, std::span<const Dim> index, Fetch how) {
  Node n{.kind = Kind::prefetch};
  n.at = static_cast<int>(how);
  n.buffer = buffer;
  push(n, {}, index);
}

void Builder::check(Val condition, int guard) {
  Node n{.kind = Kind::check};
  n.at = guard;
  push(n, {&condition, 1});
}

Dim Builder::index(std::string_view stem, Val v, Dim extent) {
  Node n{.kind = Kind::index};
  n.variable = Dim::fresh(stem);
  n.extent = extent;
  push(n, {&v, 1});
  return n.variable;
}

// ---------------------------------------------------------------- control

std::vector<Val> Builder::loop(std::string_view stem, Dim extent, std::span<const Val> initial, const Body& body,
                               LoopKind kind) {
  Node head{.kind = Kind::loop};
  head.loop = kind;
  head.variable = Dim::fresh(stem);
  head.extent = extent;
  Val begin = push(head, initial);
  std::vector<Val> carries, results;
  for (Val v : initial) {
    Node c{.kind = Kind::carry};
    c.tile = tile(v);
    carries.push_back(push(c, {&begin, 1}));
  }
  std::vector<Val> next = body(head.variable, carries);
  if (next.size() != initial.size()) internal("a loop must give as many carries as it takes");
  for (size_t i = 0; i < next.size(); ++i)
    if (tile(next[i]) != tile(initial[i])) internal("a loop must give carries of the tiles it takes");
  Node tail{.kind = Kind::yield};
  tail.at = begin;
  Val end = push(tail, next);
  kernel_.nodes[static_cast<size_t>(begin)].at = end;
  for (size_t i = 0; i < initial.size(); ++i) {
    Node r{.kind = Kind::result};
    r.tile = tile(initial[i]);
    r.at = static_cast<int>(i);
    results.push_back(push(r, {&end, 1}));
  }
  return results;
}

void Builder::parallel(std::string_view stem, Dim extent, const std::function<void(Dim)>& body) {
  loop(
      stem, extent, {},
      [&](Dim v, std::span<const Val>) {
        body(v);
        return std::vector<Val>{};
      },
      LoopKind::parallel);
}

void Builder::serial(std::string_view stem, Dim extent, const std::function<void(Dim)>& body) {
  loop(stem, extent, {}, [&](Dim v, std::span<const Val>) {
    body(v);
    return std::vector<Val>{};
  });
}

std::vector<Val> Builder::branch(Val condition, std::span<const Val> otherwise,
                                 const std::function<std::vector<Val>()>& body) {
  Val number = cast(condition, DType::i32);
  Dim times = index("if", number, 2);
  return loop("then", times, otherwise, [&](Dim, std::span<const Val>) { return body(); });
}

}  // namespace tn::loops
