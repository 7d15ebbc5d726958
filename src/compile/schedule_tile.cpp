// tile: iterations of a loop become rows or lanes. What depends on the loop's variable gets the extent, the rest stays
// one row (lane) and broadcasts, which is how `fma %column, %row, %sum` arises from three scalars.
#include <algorithm>

#include "compile/rewriter.h"
#include "compile/schedule.h"
#include "tenon/error.h"

namespace tn::loops {

namespace {

class Tiling : public Rewriter {
 public:
  Tiling(const Kernel& k, Val target, int n, Axis axis) : Rewriter(k), target_(target), n_(n), axis_(axis) {}

  Kernel tiled() {
    const Node& head = input(target_);
    if (head.arg_count)
      refuse(
          "expected a loop that carries nothing, got a carried value; a reduction states its tree by lanes of its own");
    auto found = dependences(in_, target_);
    if (!found.empty()) refuse("expected independent iterations, got a dependence: " + found[0]);
    tail_ = !provably_divisible(head.extent, n_);
    find_varying();
    for (Val n = target_ + 1; n < head.at; ++n) check(n);
    return run();
  }

 private:
  [[noreturn]] static void refuse(const std::string& why) { fail("tile", why); }

  bool inside(Val n) const { return n > target_ && n < input(target_).at; }
  static int& extent_of(Tile& t, Axis axis) { return axis == Axis::lanes ? t.lanes : t.rows; }
  bool mentions(Dim d) const {
    auto s = symbols_of(d);
    return d != Node::kNone && std::find(s.begin(), s.end(), input(target_).variable) != s.end();
  }
  bool index_varies(const Node& i) const {
    auto where = in_.index(i);
    return std::any_of(where.begin(), where.end(), [&](Dim d) { return mentions(d); });
  }

  /// Values that differ between iterations; carries join their start and their end, so until nothing changes.
  void find_varying() {
    varies_.assign(in_.nodes.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (Val n = target_ + 1; n < input(target_).at; ++n) {
        const Node& i = input(n);
        bool v = index_varies(i);
        if (i.kind == Kind::carry) {
          Val header = in_.operands(i)[0];
          auto j = static_cast<size_t>(n - header - 1);
          v = varying(in_.operands(input(header))[j]) || varying(in_.operands(input(input(header).at))[j]);
        } else if (i.kind == Kind::result) {
          v = varying(input(in_.operands(i)[0]).at + 1 + i.at);
        } else if (i.kind != Kind::loop && i.kind != Kind::yield) {
          for (Val x : in_.operands(i)) v = v || varying(x);
        }
        changed |= v != varying(n);
        varies_[static_cast<size_t>(n)] = v;
      }
    }
  }
  bool varying(Val v) const { return varies_[static_cast<size_t>(v)]; }

  void check(Val n) {
    const Node& i = input(n);
    bool v = varying(n);
    if (mentions(i.extent)) refuse("expected extents free of the tiled variable, got '" + to_string(i.extent) + "'");
    if (mentions(i.row_limit) || mentions(i.lane_limit))
      refuse("expected limits free of the tiled variable, got one with it");
    if (i.kind == Kind::scatter) refuse("expected no scatter in the loop, got one");
    if (i.kind == Kind::index && v) refuse("expected one index for all iterations, got data that differ");
    if (i.kind == Kind::check && v && tail_)
      refuse("expected a factor that divides the extent of a loop with a check, got a tail");
    if (i.kind == Kind::store && !index_varies(i))
      refuse("expected each iteration to store to a place of its own, got one place");
    if (!v) return;
    Tile t = i.tile;
    bool makes = i.kind != Kind::check && i.kind != Kind::prefetch;
    if (makes && extent_of(t, axis_) != 1) refuse("expected tiles of one row (lane) along the axis, got a wider one");
    if ((i.kind == Kind::reduce || i.kind == Kind::slice) && i.axis == axis_)
      refuse("expected reductions along the other axis only, got one along it");
    if (i.kind == Kind::transpose || (i.kind == Kind::scan && axis_ == Axis::lanes))
      refuse("expected no transpose, and scans along the other axis only, got one");
    Dim limit = axis_ == Axis::lanes ? i.lane_limit : i.row_limit;
    if (limit != Node::kNone) refuse("expected no limit along the axis yet, got one");
  }

  void loop(Val n) override {
    if (n != target_) return Rewriter::loop(n);
    const Node& head = input(n);
    Dim extent = dim(head.extent);
    b_.loop(
        stem_of(head.variable), ceildiv(extent, n_), {},
        [&](Dim v, std::span<const Val>) {
          Dim first = v * Dim(n_);
          rest_ = extent - first;
          replace(head.variable, first + (axis_ == Axis::lanes ? lane() : row()));
          range(body(n), head.at);
          return std::vector<Val>{};
        },
        head.loop);
  }

  void node(Val n) override {
    if (!inside(n)) return Rewriter::node(n);
    Node made = copied(n);
    bool wide = varying(n) || made.kind == Kind::store;
    if (made.kind == Kind::store) set_value(n);
    if (made.kind == Kind::gather && wide) set_value(n);
    if (wide && made.kind != Kind::check && made.kind != Kind::prefetch) extent_of(made.tile, axis_) = n_;
    bool memory = made.kind == Kind::load || made.kind == Kind::store || made.kind == Kind::gather;
    if (memory && wide && tail_) {
      (axis_ == Axis::lanes ? made.lane_limit : made.row_limit) = rest_;
      Dim other = axis_ == Axis::lanes ? made.row_limit : made.lane_limit;
      if (other == Node::kNone) made.any = made.kind != Kind::store;
    }
    emit(n, made);
  }

  /// Memory takes no broadcast: the stored value, or the index of a gather, gets the extent.
  void set_value(Val n) {
    Val x = in_.operands(input(n))[0];
    set(x, widened(value(x)));
  }

  /// v spread along the axis.
  Val widened(Val v) {
    Tile t = b_.tile(v);
    if (extent_of(t, axis_) == n_) return v;
    extent_of(t, axis_) = n_;
    Val yes = b_.constant_int(1, DType::boolean, t.rows, t.lanes);
    return b_.select(yes, v, v);
  }

  Val initial(Val header, size_t j) override {
    Val old = in_.operands(input(header))[j], v = value(old);
    if (!inside(header) || !varying(header + 1 + static_cast<Val>(j))) return v;
    Tile t = b_.tile(v);
    if (input(old).kind != Kind::constant) return widened(v);
    extent_of(t, axis_) = n_;
    return is_float(t.dtype) ? b_.constant(input(old).number, t.dtype, t.rows, t.lanes)
                             : b_.constant_int(input(old).whole, t.dtype, t.rows, t.lanes);
  }
  Val yielded(Val header, size_t j) override {
    Val v = Rewriter::yielded(header, j);
    return inside(header) && varying(header + 1 + static_cast<Val>(j)) ? widened(v) : v;
  }

  Val target_;
  int n_;
  Axis axis_;
  bool tail_ = false;
  Dim rest_ = 0;
  std::vector<bool> varies_;
};

}  // namespace

Kernel tile(const Kernel& k, std::string_view loop, int n, Axis axis) {
  if (n < 1 || n > 1024) fail("tile", "expected an extent from 1 to 1024, got " + std::to_string(n));
  return Tiling(k, find_loop(k, loop), n, axis).tiled();
}

}  // namespace tn::loops
