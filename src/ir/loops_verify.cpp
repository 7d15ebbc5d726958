// What makes a kernel sound, checked node by node in one walk:
//
//   structure   operands stand before their use and in a scope around it; loops, carries, yields and results match
//   types       tiles broadcast, dtypes are what the scalar table takes, memory has its buffer's dtype
//   symbols     a Dim mentions sizes and the variables of enclosing loops and indices; r and l only where a tile is
//   affinity    places in memory are affine in r and l
//   bounds      every index is proved within [0, extent) under the access's limits
//   limits      what a load leaves unspecified is never stored, reduced, checked or made an index
//   races       accesses to a buffer that a parallel loop writes are apart for different iterations
//   scratch     is written only inside the parallel loop it is allocated in; allocations do not overlap
//   phases      parallel loops are outermost and carry nothing; between them stand pure nodes and loads
#include <algorithm>

#include "ir/dim_digits.h"
#include "ir/loops.h"
#include "ir/loops_check.h"

namespace tn::loops {

namespace {

/// Lanes and rows below these are meaningful; kNone = all.
struct Meaning {
  Dim rows = Node::kNone, lanes = Node::kNone;
  bool operator==(const Meaning&) const = default;
  bool whole() const { return rows == Node::kNone && lanes == Node::kNone; }
};

Dim lesser(Dim a, Dim b) { return a == Node::kNone ? b : b == Node::kNone ? a : min(a, b); }

/// The index along `dimension` (-1: the flat offset; -2: none, the access happens in iteration `base` only) is base +
/// step * iteration + something in [0, |step|).
struct Apart {
  int dimension;
  Dim step, base;
  std::vector<std::pair<i64, int>> places;  // or the index tells the iteration by these place values
  bool operator==(const Apart&) const = default;
};

/// One access to a buffer that its phase writes.
struct Touch {
  Val node;
  int buffer;
  bool writes;
  std::vector<Apart> apart;
};

class Verifier {
 public:
  explicit Verifier(const Kernel& k) : k_(k), meanings_(k.nodes.size()), alive_(k.nodes.size(), false) {}

  /// Judges the iterations of that loop instead of the parallel ones.
  Verifier(const Kernel& k, Val judged) : Verifier(k) { judged_ = judged; }

  std::vector<std::string> run() {
    for (Dim s : k_.sizes) bounds_.push_back({s, Dim(0), std::nullopt});
    size_checks();
    if (!findings_.empty()) return findings_;
    scopes_.emplace_back();
    for (Val n = 0; n < static_cast<Val>(k_.nodes.size()) && !broken_; ++n) visit(n);
    if (!loops_.empty()) error(loops_.back(), "the loop has no end");
    if (findings_.empty()) check_meanings();
    return findings_;
  }

 private:
  const Node& node(Val v) const { return k_.nodes[static_cast<size_t>(v)]; }
  const Buffer& buffer(int b) const { return k_.buffers[static_cast<size_t>(b)]; }
  Meaning& meaning(Val v) { return meanings_[static_cast<size_t>(v)]; }

  static std::string text_of(Dim d) {
    std::pair<Dim, Dim> names[] = {{row(), Dim::symbol("r")}, {lane(), Dim::symbol("l")}};
    return to_string(substitute(d, names));
  }

  void error(Val n, const std::string& text) { findings_.push_back("%" + std::to_string(n) + ": " + text); }

  // ---------------------------------------------------------------- buffers

  void size_checks() {
    for (size_t b = 0; b < k_.buffers.size(); ++b) {
      const Buffer& x = k_.buffers[b];
      auto wrong = [&](const std::string& text) { findings_.push_back("buffer " + x.name + ": " + text); };
      if (x.shape.size() != x.strides.size()) wrong("has a stride for each extent");
      std::vector<Dim> all(x.shape);
      all.insert(all.end(), x.strides.begin(), x.strides.end());
      all.push_back(x.offset);
      for (Dim d : all)
        if (!of_sizes(d)) wrong("'" + text_of(d) + "' mentions more than the kernel's sizes");
      if (!x.is_argument()) check_scratch(b, wrong);
    }
    if (!of_sizes(k_.scratch_bytes))
      findings_.push_back("scratch of " + text_of(k_.scratch_bytes) + " bytes mentions more than sizes");
  }

  template <class Wrong>
  void check_scratch(size_t b, Wrong wrong) {
    const Buffer& x = k_.buffers[b];
    Dim end = x.offset + product(x.shape) * Dim(bytes(x.dtype));
    if (!provably_nonnegative(k_.scratch_bytes - end, bounds_)) wrong("may lie beyond the scratch");
    if (!provably_divisible(x.offset, 64)) wrong("is not aligned to 64 bytes");
    for (size_t o = 0; o < b; ++o) {
      const Buffer& y = k_.buffers[o];
      if (y.is_argument()) continue;
      Dim y_end = y.offset + product(y.shape) * Dim(bytes(y.dtype));
      if (!provably_nonnegative(x.offset - y_end, bounds_) && !provably_nonnegative(y.offset - end, bounds_))
        wrong("may overlap " + y.name);
    }
  }

  bool of_sizes(Dim d) const {
    for (Dim s : symbols_of(d))
      if (std::find(k_.sizes.begin(), k_.sizes.end(), s) == k_.sizes.end()) return false;
    return true;
  }

  /// Every symbol of d is in scope; r and l only where `tile` has them.
  void check_symbols(Val n, Dim d, bool tile) {
    for (Dim s : symbols_of(d)) {
      if (s == row() || s == lane()) {
        if (!tile) error(n, "'" + text_of(d) + "' mentions r or l outside a tile");
        continue;
      }
      auto known = [&](const Bound& b) { return b.symbol == s; };
      if (std::none_of(bounds_.begin(), bounds_.end(), known))
        error(n, "'" + text_of(s) + "' is no size and no variable of an enclosing loop");
    }
  }

  // ---------------------------------------------------------------- the walk

  void visit(Val n) {
    const Node& i = node(n);
    size_t before = findings_.size();
    if (!check_operands(n)) {
      broken_ = true;
      return;
    }
    for (std::string& text : check_types(k_, n)) error(n, text);
    if (findings_.size() != before) {
      alive(n);
      broken_ |= i.kind == Kind::loop || i.kind == Kind::yield;
      return;
    }
    if (loops_.empty()) check_top_level(n);
    switch (i.kind) {
      case Kind::loop: begin_loop(n); break;
      case Kind::yield: end_loop(n); break;
      case Kind::index: begin_index(n); break;
      case Kind::dim: check_symbols(n, k_.index(i)[0], true), affine(n, k_.index(i)[0]); break;
      case Kind::load:
      case Kind::store:
      case Kind::gather:
      case Kind::scatter:
      case Kind::prefetch: memory(n); break;
      default: break;
    }
    if (i.kind == Kind::store || i.kind == Kind::scatter || i.kind == Kind::slice || i.kind == Kind::reduce ||
        i.kind == Kind::check || i.kind == Kind::index)
      scopes_of_reads_.emplace_back(n, bounds_);
    alive(n);
  }

  void alive(Val n) {
    alive_[static_cast<size_t>(n)] = true;
    scopes_.back().push_back(n);
  }

  bool check_operands(Val n) {
    const Node& i = node(n);
    if (i.kind == Kind::carry || i.kind == Kind::result) return check_place_of_part(n);
    for (Val v : k_.operands(i))
      if (v < 0 || v >= n || !alive_[static_cast<size_t>(v)] || !makes_value(node(v).kind)) {
        error(n, "uses %" + std::to_string(v) + ", which is no value in scope");
        return false;
      }
    if (i.kind == Kind::yield && (loops_.empty() || i.at != loops_.back() || node(i.at).at != n)) {
      error(n, "ends no open loop");
      return false;
    }
    return true;
  }

  bool check_place_of_part(Val n) {
    const Node& i = node(n);
    Val parent = k_.operands(i)[0];
    bool carry = i.kind == Kind::carry;
    bool fits = parent >= 0 && parent < n && node(parent).kind == (carry ? Kind::loop : Kind::yield);
    if (fits) {
      const Node& header = carry ? node(parent) : node(node(parent).at);
      fits = n - parent - 1 < static_cast<Val>(header.arg_count) && (carry || i.at == n - parent - 1);
    }
    if (!fits) error(n, carry ? "is no carry right after its loop's header" : "is no result right after its loop");
    return fits;
  }

  /// Carries and results must all be there.
  bool complete(Val first, size_t count, Kind kind) {
    for (size_t j = 0; j < count; ++j) {
      size_t at = static_cast<size_t>(first) + j;
      if (at >= k_.nodes.size() || k_.nodes[at].kind != kind) return false;
    }
    return true;
  }

  void begin_loop(Val n) {
    const Node& i = node(n);
    check_symbols(n, i.extent, false);
    check_new(n);
    bool end = i.at > n && i.at < static_cast<Val>(k_.nodes.size()) && node(i.at).kind == Kind::yield;
    if (!end || !complete(n + 1, i.arg_count, Kind::carry) || !complete(i.at + 1, i.arg_count, Kind::result)) {
      error(n, "the loop lacks its end, a carry or a result");
      broken_ = true;
      return;
    }
    if (i.loop == LoopKind::parallel) {
      if (!loops_.empty()) error(n, "a parallel loop stands inside another loop");
      if (i.arg_count) error(n, "a parallel loop carries a value");
      if (!of_sizes(i.extent)) error(n, "the extent of a parallel loop mentions more than sizes");
    }
    if (judged_ < 0 ? i.loop == LoopKind::parallel : n == judged_) {
      touches_.clear();
      watched_ = n;
    }
    loops_.push_back(n);
    open_scope();
    bounds_.push_back({i.variable, Dim(0), i.extent - Dim(1)});
    raise_sizes(n);
    believe(n, i.extent);
  }

  /// What runs inside a loop knows that its extent is at least 1: bounds of the variables around it narrow.
  void believe(Val header, Dim extent) {
    if (extent.is_constant()) return;
    const DimNode* e = extent.node();
    auto nothing = [](Dim d) { return d.is_constant() && d.value() <= 0; };
    if (e->kind == DimNode::Kind::max && nothing(e->a)) return believe(header, e->b);
    if (e->kind == DimNode::Kind::max && nothing(e->b)) return believe(header, e->a);
    if (e->kind == DimNode::Kind::min) return believe(header, e->a), believe(header, e->b);
    for (Bound& b : bounds_) {
      auto c = coefficient(extent, b.symbol);
      bool around = b.symbol != node(header).variable && !of_sizes(b.symbol) && c;
      if (!around || (*c != Dim(1) && *c != Dim(-1))) continue;
      Dim rest = extent - *c * b.symbol;
      if (!of_sizes(rest)) continue;
      narrowed_.emplace_back(header, b);
      if (*c == Dim(1))
        b.low = max(b.low.value_or(Dim(0)), Dim(1) - rest);
      else
        b.high = b.high ? min(*b.high, rest - Dim(1)) : rest - Dim(1);
    }
  }

  /// Minima, maxima and quotients that the bounds decide, as what they are.
  Dim decided(Dim d) const {
    if (d.is_constant()) return d;
    const DimNode* n = d.node();
    if (n->kind == DimNode::Kind::floordiv && provably_nonnegative(n->a, bounds_) &&
        provably_nonnegative(n->b - Dim(1) - n->a, bounds_))
      return 0;
    if (n->kind == DimNode::Kind::min || n->kind == DimNode::Kind::max) {
      bool least = n->kind == DimNode::Kind::min;
      if (provably_nonnegative(n->a - n->b, bounds_)) return decided(least ? n->b : n->a);
      if (provably_nonnegative(n->b - n->a, bounds_)) return decided(least ? n->a : n->b);
    }
    if (n->kind != DimNode::Kind::polynomial) return d;
    Dim sum = 0;
    for (const auto& t : n->terms) {
      Dim term = t.coefficient;
      for (const DimNode* atom : t.atoms) term = term * decided(Dim(atom));
      sum = sum + term;
    }
    return sum;
  }

  /// Nothing inside such a loop ever runs.
  bool dead() const {
    return std::any_of(loops_.begin(), loops_.end(), [&](Val l) { return node(l).extent == Dim(0); });
  }

  /// A loop that runs has an extent of at least 1, so no size that makes it 0 is 0.
  void raise_sizes(Val header) {
    Dim extent = node(header).extent;
    for (Dim s : symbols_of(extent)) {
      std::pair<Dim, Dim> none[] = {{s, 0}};
      if (!of_sizes(s) || divided_by(extent, s) || !(substitute(extent, none) == Dim(0))) continue;
      for (Bound& b : bounds_)
        if (b.symbol == s && b.low == Dim(0)) {
          b.low = 1;
          raised_.emplace_back(header, s);
        }
    }
  }

  void end_loop(Val n) {
    Val header = node(n).at;
    if (header == watched_) {
      check_races(header);
      watched_ = -1;
    }
    for (Val v : scopes_.back()) alive_[static_cast<size_t>(v)] = false;
    scopes_.pop_back();
    bounds_.resize(marks_.back());
    for (; !raised_.empty() && raised_.back().first == header; raised_.pop_back())
      for (Bound& b : bounds_)
        if (b.symbol == raised_.back().second) b.low = Dim(0);
    for (; !narrowed_.empty() && narrowed_.back().first == header; narrowed_.pop_back())
      for (Bound& b : bounds_)
        if (b.symbol == narrowed_.back().second.symbol) b = narrowed_.back().second;
    marks_.pop_back();
    loops_.pop_back();
  }

  void open_scope() {
    scopes_.emplace_back();
    marks_.push_back(bounds_.size());
  }

  void begin_index(Val n) {
    const Node& i = node(n);
    check_symbols(n, i.extent, false);
    check_new(n);
    bounds_.push_back({i.variable, Dim(0), i.extent - Dim(1)});
  }

  void check_new(Val n) {
    Dim v = node(n).variable;
    if (!v.is_symbol() || v == row() || v == lane()) return error(n, "has no variable of its own");
    for (const Bound& b : bounds_)
      if (b.symbol == v) return error(n, "'" + text_of(v) + "' is taken");
  }

  void check_top_level(Val n) {
    Kind k = node(n).kind;
    if (k == Kind::store || k == Kind::scatter || k == Kind::check)
      error(n, "stands outside every parallel loop, where each worker runs it");
    if (k == Kind::loop && node(n).loop != LoopKind::parallel) error(n, "a serial loop stands outside a parallel one");
  }

  // ---------------------------------------------------------------- unspecified elements

  Meaning meaning_of(Val n) {
    const Node& i = node(n);
    auto x = k_.operands(i);
    switch (i.kind) {
      case Kind::load:
      case Kind::gather: return i.any ? Meaning{i.row_limit, i.lane_limit} : Meaning{};
      case Kind::map: {
        Meaning m;
        for (size_t j = 0; j < x.size(); ++j)
          m = both(m, i.op == ScalarOp::select && j == 1 ? where_true(x[0], meaning(x[1])) : meaning(x[j]));
        return m;
      }
      case Kind::reduce:
      case Kind::slice: {
        Meaning m = meaning(x[0]);
        (i.axis == Axis::lanes ? m.lanes : m.rows) = Node::kNone;
        return m;
      }
      case Kind::scan: return meaning(x[0]);
      case Kind::transpose: return {meaning(x[0]).lanes, meaning(x[0]).rows};
      case Kind::carry: {
        const Node& header = node(x[0]);
        auto j = static_cast<size_t>(n - x[0] - 1);
        return both(meaning(k_.operands(header)[j]), meaning(k_.operands(node(header.at))[j]));
      }
      case Kind::result: return meaning(node(x[0]).at + 1 + i.at);
      default: return {};
    }
  }

  /// What a mask of coordinates, less(l, limit), keeps is meaningful wherever the mask is false.
  Meaning where_true(Val mask, Meaning m) {
    const Node& i = node(mask);
    auto x = k_.operands(i);
    if (i.kind != Kind::map) return m;
    if (i.op == ScalarOp::logical_and) return where_true(x[1], where_true(x[0], m));
    bool coordinates = i.op == ScalarOp::less && node(x[0]).kind == Kind::dim && node(x[1]).kind == Kind::dim;
    if (!coordinates) return m;
    Dim below = k_.index(node(x[1]))[0] - k_.index(node(x[0]))[0];
    for (auto [limit, symbol] : {std::pair{&m.rows, row()}, {&m.lanes, lane()}}) {
      if (*limit == Node::kNone || coefficient(below, symbol) != Dim(-1)) continue;
      if (provably_nonnegative(*limit - (below + symbol))) *limit = Node::kNone;
    }
    return m;
  }

  static Meaning both(const Meaning& a, const Meaning& b) { return {lesser(a.rows, b.rows), lesser(a.lanes, b.lanes)}; }

  /// Carries take part of their meaning from the loop's end, so the walk is repeated until nothing changes.
  void check_meanings() {
    for (bool changed = true; changed;) {
      changed = false;
      for (Val n = 0; n < static_cast<Val>(k_.nodes.size()); ++n) {
        Meaning m = meaning_of(n);
        changed |= !(m == meaning(n));
        meaning(n) = m;
      }
    }
    for (const auto& [n, bounds] : scopes_of_reads_) check_read(n, bounds);
  }

  /// The node looks at particular elements of its operands: they must be meaningful.
  void check_read(Val n, std::span<const Bound> bounds) {
    const Node& i = node(n);
    auto x = k_.operands(i);
    const char* kUnspecified = " elements that a load leaves unspecified";
    Meaning m = meaning(x.back());
    if (i.kind == Kind::store || i.kind == Kind::scatter) {
      auto within = [&](Dim limit, Dim meant) {
        return meant == Node::kNone || limit == meant ||
               (limit != Node::kNone && provably_nonnegative(meant - limit, bounds));
      };
      // Scratch and temp are padded at will: what is read of the padding is not stored further.
      Buffer::Role role = buffer(i.buffer).role;
      bool visible = role == Buffer::Role::out || role == Buffer::Role::inout;
      if (visible && (!within(i.row_limit, m.rows) || !within(i.lane_limit, m.lanes)))
        error(n, std::string("stores") + kUnspecified + " into " + buffer(i.buffer).name);
    } else if (i.kind == Kind::slice || i.kind == Kind::reduce) {
      Dim limit = i.axis == Axis::lanes ? m.lanes : m.rows;
      bool inside =
          i.kind == Kind::slice && limit != Node::kNone && provably_nonnegative(limit - Dim(i.at + 1), bounds);
      if (limit != Node::kNone && !inside) error(n, std::string("reads") + kUnspecified);
    }
    bool all = i.kind == Kind::check || i.kind == Kind::index || i.kind == Kind::scatter;
    if (all && !meaning(x[0]).whole()) error(n, std::string("reads") + kUnspecified);
  }

  // ---------------------------------------------------------------- memory

  void affine(Val n, Dim d) {
    auto down = coefficient(d, row()), right = coefficient(d, lane());
    auto mentions = [](Dim c) {
      auto s = symbols_of(c);
      return std::find(s.begin(), s.end(), row()) != s.end() || std::find(s.begin(), s.end(), lane()) != s.end();
    };
    if (!down || !right || mentions(*down) || mentions(*right))
      error(n, "'" + text_of(d) + "' is not affine in r and l; use gather");
  }

  void memory(Val n) {
    const Node& i = node(n);
    const Buffer& b = buffer(i.buffer);
    auto where = k_.index(i);
    bool by_tile = i.kind == Kind::gather || i.kind == Kind::scatter, hint = i.kind == Kind::prefetch;
    for (Dim limit : {i.row_limit, i.lane_limit})
      if (limit != Node::kNone) check_symbols(n, limit, false);
    size_t mark = bounds_.size();
    auto top = [&](int extent, Dim limit) {
      return limit == Node::kNone ? Dim(extent - 1) : min(extent, limit) - Dim(1);
    };
    bounds_.push_back({row(), Dim(0), top(i.tile.rows, i.row_limit)});
    bounds_.push_back({lane(), Dim(0), top(i.tile.lanes, i.lane_limit)});
    for (size_t d = 0; d < where.size(); ++d) {
      if (by_tile && static_cast<int>(d) == i.at) continue;
      check_symbols(n, where[d], true);
      affine(n, where[d]);
      if (hint || dead()) continue;
      if (!provably_nonnegative(where[d], bounds_))
        error(n, "cannot prove 0 <= " + text_of(where[d]) + " in " + b.name);
      if (!provably_nonnegative(b.shape[d] - Dim(1) - where[d], bounds_))
        error(n, "cannot prove " + text_of(where[d]) + " < " + text_of(b.shape[d]) + " in " + b.name);
    }
    bool writes = i.kind == Kind::store || i.kind == Kind::scatter;
    if (writes) check_write(n);
    if (watched_ >= 0 && !hint && (b.is_argument() || !allocated_in(watched_, i.buffer))) touch(n, writes);
    bounds_.resize(mark);
  }

  void check_write(Val n) {
    const Node& i = node(n);
    const Buffer& b = buffer(i.buffer);
    if (b.role == Buffer::Role::in) error(n, "writes " + b.name + ", which is an input");
    if (!b.is_argument() && !loops_.empty() && !allocated_in(loops_[0], i.buffer))
      error(n, "writes scratch " + b.name + ", which is allocated outside its parallel loop");
  }

  bool allocated_in(Val loop, int b) const {
    for (Val n = loop; n < node(loop).at; ++n)
      if (node(n).kind == Kind::alloc && node(n).buffer == b) return true;
    return false;
  }

  // ---------------------------------------------------------------- races

  /// Remembers along which dimensions the accesses of different iterations are apart.
  void touch(Val n, bool writes) {
    const Node& i = node(n);
    Touch t{n, i.buffer, writes, {}};
    for (const Bound& b : bounds_)  // one iteration only
      if (b.symbol == node(watched_).variable && b.low && b.high && *b.low == *b.high)
        t.apart.push_back({-2, Dim(0), *b.low, {}});
    auto where = k_.index(i);
    bool by_tile = i.kind == Kind::gather || i.kind == Kind::scatter;
    for (size_t d = 0; d < where.size(); ++d)
      if (!by_tile || static_cast<int>(d) != i.at) consider(t, static_cast<int>(d), where[d]);
    if (!by_tile) consider(t, -1, element_offset(buffer(i.buffer), where));
    touches_.push_back(std::move(t));
  }

  void consider(Touch& t, int dimension, Dim index) {
    Dim v = node(watched_).variable;
    index = decided(index);
    if (auto places = place_values(index, v, bounds_); !places.empty())
      t.apart.push_back({dimension, Dim(0), Dim(0), std::move(places)});
    auto step = explicit_coefficient(index, v);
    if (!step || *step == Dim(0)) return;
    auto fixed = [&](Dim s) { return of_sizes(s) || around(s); };
    auto moving = symbols_of(*step);
    if (!std::all_of(moving.begin(), moving.end(), fixed)) return;
    Dim rest = index - *step * v;
    std::vector<std::pair<Dim, Dim>> inner;
    for (Dim s : symbols_of(rest)) {
      if (!fixed(s)) inner.emplace_back(s, 0);
    }
    for (Dim base : {Dim(0), substitute(rest, inner), terms_of(rest, fixed)})
      for (Dim width : {*step, -*step})
        if (provably_nonnegative(rest - base, bounds_) &&
            provably_nonnegative(width - Dim(1) - (rest - base), bounds_)) {
          t.apart.push_back({dimension, *step, base, {}});
          return;
        }
  }

  /// The terms of d whose symbols are all fixed.
  template <class Fixed>
  static Dim terms_of(Dim d, const Fixed& fixed) {
    if (d.is_constant()) return d;
    Dim sum = 0;
    for (const auto& t : d.node()->terms) {
      Dim term = t.coefficient;
      for (const DimNode* atom : t.atoms) term = term * Dim(atom);
      auto symbols = symbols_of(term);
      if (std::all_of(symbols.begin(), symbols.end(), fixed)) sum = sum + term;
    }
    return sum;
  }

  /// A variable of a loop around the watched one: the same for all its iterations.
  bool around(Dim variable) const {
    for (Val loop : loops_) {
      if (loop == watched_) return false;
      if (node(loop).variable == variable) return true;
    }
    return false;
  }

  void check_races(Val header) {
    Dim extent = node(header).extent;
    if (extent == Dim(1) || extent == Dim(0)) return;
    for (const Touch& w : touches_) {
      if (!w.writes) continue;
      std::vector<Apart> common = w.apart;
      for (const Touch& t : touches_)
        if (t.buffer == w.buffer)
          std::erase_if(common,
                        [&](const auto& a) { return std::find(t.apart.begin(), t.apart.end(), a) == t.apart.end(); });
      if (common.empty())
        error(w.node, "cannot prove that iterations of " + text_of(node(header).variable) + " keep apart in " +
                          buffer(w.buffer).name);
    }
  }

  const Kernel& k_;
  std::vector<std::string> findings_;
  std::vector<Meaning> meanings_;
  std::vector<bool> alive_;
  std::vector<Bound> bounds_;
  std::vector<size_t> marks_;
  std::vector<std::pair<Val, Dim>> raised_;      // sizes known to be positive inside a loop
  std::vector<std::pair<Val, Bound>> narrowed_;  // bounds as they were outside of a loop
  std::vector<Val> loops_;
  std::vector<std::vector<Val>> scopes_;
  std::vector<Touch> touches_;
  std::vector<std::pair<Val, std::vector<Bound>>> scopes_of_reads_;
  Val judged_ = -1, watched_ = -1;
  bool broken_ = false;
};

}  // namespace

std::vector<std::string> verify(const Kernel& k) { return Verifier(k).run(); }
std::vector<std::string> dependences(const Kernel& k, Val loop) { return Verifier(k, loop).run(); }

}  // namespace tn::loops
