#include "ir/loops_check.h"

#include <algorithm>

namespace tn::loops {

bool makes_value(Kind kind) {
  switch (kind) {
    case Kind::constant:
    case Kind::dim:
    case Kind::map:
    case Kind::reduce:
    case Kind::scan:
    case Kind::slice:
    case Kind::transpose:
    case Kind::mma:
    case Kind::load:
    case Kind::gather:
    case Kind::carry:
    case Kind::result: return true;
    default: return false;
  }
}

static bool whole_number(DType d) { return is_integer(d) || d == DType::boolean; }

bool takes(ScalarOp op, DType d) {
  if (op == ScalarOp::cast || op == ScalarOp::select) return true;
  if (op == ScalarOp::bitcast) return d != DType::boolean;
  if (d == DType::f16 || d == DType::bf16) return false;
  switch (info(op).takes) {
    case ScalarInfo::Takes::numbers: return d != DType::boolean;
    case ScalarInfo::Takes::floats: return is_float(d);
    case ScalarInfo::Takes::integers: return is_integer(d);
    case ScalarInfo::Takes::whole: return whole_number(d);
    case ScalarInfo::Takes::any: return true;
  }
  return false;
}

namespace {

std::string text_of(const Tile& t) {
  std::string s(name(t.dtype));
  return s + "<" + std::to_string(t.rows) + "x" + std::to_string(t.lanes) + ">";
}

class NodeCheck {
 public:
  NodeCheck(const Kernel& k, Val n) : k_(k), i_(k.nodes[static_cast<size_t>(n)]), x_(k.operands(i_)), n_(n) {}

  std::vector<std::string> run() {
    if (makes_value(i_.kind) && (i_.tile.rows < 1 || i_.tile.lanes < 1)) wrong("has an empty tile");
    if (!counts()) return std::move(found_);
    switch (i_.kind) {
      case Kind::map: map(); break;
      case Kind::dim:
        if (i_.tile.dtype == DType::boolean || !takes(ScalarOp::add, i_.tile.dtype)) wrong("a Dim has no such dtype");
        break;
      case Kind::reduce:
      case Kind::scan: fold(); break;
      case Kind::slice: slice(); break;
      case Kind::transpose: expect({x(0).dtype, x(0).lanes, x(0).rows}); break;
      case Kind::load:
      case Kind::store:
      case Kind::gather:
      case Kind::scatter:
      case Kind::prefetch: memory(); break;
      case Kind::check:
        if (x(0).dtype != DType::boolean) wrong("checks a " + text_of(x(0)) + ", not bools");
        break;
      case Kind::index:
        if (!is_integer(x(0).dtype) || x(0).size() != 1) wrong("takes an integer scalar, not " + text_of(x(0)));
        break;
      case Kind::carry: expect(initial(k_.nodes[static_cast<size_t>(x_[0])], n_ - x_[0] - 1)); break;
      case Kind::yield: yield(); break;
      case Kind::result: result(); break;
      case Kind::mma:
      case Kind::barrier:
      case Kind::while_:
      case Kind::if_: wrong("is of a kind that no executor has"); break;
      default: break;
    }
    return std::move(found_);
  }

 private:
  const Tile& x(size_t j) const { return k_.nodes[static_cast<size_t>(x_[j])].tile; }
  void wrong(std::string text) { found_.push_back(std::move(text)); }
  void expect(const Tile& t) {
    if (!(i_.tile == t)) wrong("is " + text_of(i_.tile) + ", but its operands give " + text_of(t));
  }

  bool counts() {
    size_t args = 0, dims = 0;
    switch (i_.kind) {
      case Kind::loop:
      case Kind::yield: return true;
      case Kind::map: args = static_cast<size_t>(info(i_.op).arity); break;
      case Kind::dim: dims = 1; break;
      case Kind::scatter: args = 2; break;
      case Kind::constant:
      case Kind::alloc:
      case Kind::load:
      case Kind::prefetch:
      case Kind::barrier: break;
      default: args = 1;
    }
    if (uses_buffer()) {
      if (i_.buffer < 0 || static_cast<size_t>(i_.buffer) >= k_.buffers.size()) {
        wrong("names no buffer");
        return false;
      }
      if (i_.kind != Kind::alloc) dims = buffer().shape.size();
    }
    if (x_.size() != args) wrong("has " + std::to_string(x_.size()) + " operands, not " + std::to_string(args));
    if (i_.dim_count != dims) wrong("has " + std::to_string(i_.dim_count) + " indices, not " + std::to_string(dims));
    return found_.empty();
  }

  bool uses_buffer() const {
    return i_.kind == Kind::load || i_.kind == Kind::store || i_.kind == Kind::gather || i_.kind == Kind::scatter ||
           i_.kind == Kind::prefetch || i_.kind == Kind::alloc;
  }
  const Buffer& buffer() const { return k_.buffers[static_cast<size_t>(i_.buffer)]; }

  void map() {
    size_t first = i_.op == ScalarOp::select ? 1 : 0;
    DType d = x(first).dtype;
    if (first && x(0).dtype != DType::boolean) wrong("select takes bools first, not " + text_of(x(0)));
    for (size_t j = first; j < x_.size(); ++j)
      if (x(j).dtype != d) wrong("takes operands of one dtype, not " + text_of(x(first)) + " and " + text_of(x(j)));
    if (!takes(i_.op, d)) wrong(std::string(info(i_.op).name) + " takes no " + std::string(name(d)));
    Tile t{d, 1, 1};
    for (size_t j = 0; j < x_.size(); ++j) {
      t.rows = std::max(t.rows, x(j).rows);
      t.lanes = std::max(t.lanes, x(j).lanes);
    }
    for (size_t j = 0; j < x_.size(); ++j)
      if ((x(j).rows != 1 && x(j).rows != t.rows) || (x(j).lanes != 1 && x(j).lanes != t.lanes))
        wrong("tiles " + text_of(x(j)) + " and " + text_of(t) + " do not broadcast");
    if (info(i_.op).gives == ScalarInfo::Gives::boolean) t.dtype = DType::boolean;
    if (info(i_.op).gives == ScalarInfo::Gives::chosen) t.dtype = i_.tile.dtype;
    if (i_.op == ScalarOp::bitcast && bits(d) != bits(i_.tile.dtype)) wrong("bitcasts between different widths");
    if (i_.op == ScalarOp::bitcast && i_.tile.dtype == DType::boolean) wrong("bitcasts to bool");
    expect(t);
  }

  void fold() {
    bool allowed = i_.op == ScalarOp::add || i_.op == ScalarOp::mul || i_.op == ScalarOp::min ||
                   i_.op == ScalarOp::max || i_.op == ScalarOp::logical_and || i_.op == ScalarOp::logical_or;
    if (!allowed || !takes(i_.op, x(0).dtype))
      wrong("cannot fold " + text_of(x(0)) + " by " + std::string(info(i_.op).name));
    Tile t = x(0);
    if (i_.kind == Kind::reduce) (i_.axis == Axis::lanes ? t.lanes : t.rows) = 1;
    expect(t);
  }

  void slice() {
    Tile t = x(0);
    int& extent = i_.axis == Axis::lanes ? t.lanes : t.rows;
    if (i_.at < 0 || i_.at >= extent) wrong("slice " + std::to_string(i_.at) + " lies outside " + text_of(x(0)));
    extent = 1;
    expect(t);
  }

  void memory() {
    if (i_.kind == Kind::prefetch) {
      if (i_.at < 0 || i_.at > static_cast<int>(Fetch::write)) wrong("fetches in a way that is none");
      return;
    }
    if (i_.tile.dtype != buffer().dtype)
      wrong("is a tile of " + std::string(name(i_.tile.dtype)) + ", but " + buffer().name + " holds " +
            std::string(name(buffer().dtype)));
    if (i_.kind == Kind::store) expect(x(0));
    if (i_.kind == Kind::scatter) {
      expect(x(1));
      if (i_.op == ScalarOp::add && !takes(ScalarOp::add, i_.tile.dtype)) wrong("adds no such dtype");
    }
    if (i_.kind != Kind::gather && i_.kind != Kind::scatter) return;
    if (!is_integer(x(0).dtype)) wrong("takes integers as indices, not " + text_of(x(0)));
    if (x(0).rows != i_.tile.rows || x(0).lanes != i_.tile.lanes)
      wrong("indices " + text_of(x(0)) + " and " + text_of(i_.tile) + " differ in shape");
    if (i_.at < 0 || static_cast<size_t>(i_.at) >= buffer().shape.size()) wrong("indexes no axis of " + buffer().name);
  }

  Tile initial(const Node& header, Val j) const {
    return k_.nodes[static_cast<size_t>(k_.operands(header)[static_cast<size_t>(j)])].tile;
  }

  void yield() {
    const Node& header = k_.nodes[static_cast<size_t>(i_.at)];
    if (x_.size() != header.arg_count) return wrong("yields another number of values than its loop carries");
    for (size_t j = 0; j < x_.size(); ++j)
      if (!(x(j) == initial(header, static_cast<Val>(j))))
        wrong("yields " + text_of(x(j)) + " where its loop carries " + text_of(initial(header, static_cast<Val>(j))));
  }

  void result() {
    const Node& header = k_.nodes[static_cast<size_t>(k_.nodes[static_cast<size_t>(x_[0])].at)];
    if (i_.at >= 0 && i_.at < static_cast<int>(header.arg_count)) expect(initial(header, i_.at));
  }

  const Kernel& k_;
  const Node& i_;
  std::span<const Val> x_;
  Val n_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> check_types(const Kernel& kernel, Val n) { return NodeCheck(kernel, n).run(); }

std::vector<std::string> register_warnings(const Kernel& k, int registers, int register_bits) {
  // What a loop carries lives in registers together; one row of an operand and a broadcast come on top.
  std::vector<std::string> found;
  auto needs = [&](const Tile& t) {
    int row = (t.lanes * bits(t.dtype) + register_bits - 1) / register_bits;
    return t.lanes == 1 ? 0 : t.rows * row;
  };
  for (size_t n = 0; n < k.nodes.size(); ++n) {
    if (k.nodes[n].kind != Kind::loop) continue;
    int carried = 0;
    for (Val v : k.operands(k.nodes[n])) carried += needs(k.nodes[static_cast<size_t>(v)].tile);
    if (carried > registers)
      found.push_back("%" + std::to_string(n) + ": carries " + std::to_string(carried) + " registers of " +
                      std::to_string(register_bits) + " bits, more than " + std::to_string(registers));
  }
  return found;
}

}  // namespace tn::loops
