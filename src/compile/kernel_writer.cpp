#include "compile/kernel_writer.h"

#include <algorithm>
#include <functional>

#include "ir/dim_node.h"
#include "ir/op_def.h"
#include "tenon/error.h"

namespace tn {

using loops::Kind;
using loops::ScalarOp;
using loops::Val;

GraphIndex::GraphIndex(const Graph& g) : producer(g.value_count(), kInput), users(g.value_count()) {
  for (u32 n = 0; n < g.nodes().size(); ++n) {
    const Node& node = g.nodes()[n];
    for (u32 i = 0; i < node.result_count; ++i) producer[node.first_result + i] = n;
    for (u32 v : g.operands(node))
      if (users[v].empty() || users[v].back() != n) users[v].push_back(n);
  }
}

DType compute_dtype(DType d) { return d == DType::f16 || d == DType::bf16 ? DType::f32 : d; }

static bool is_narrow_float(DType d) { return compute_dtype(d) != d; }

static bool holds(Dim d, Dim symbol) {
  if (d.is_constant()) return false;
  if (d == symbol) return true;
  auto symbols = symbols_of(d);
  return std::find(symbols.begin(), symbols.end(), symbol) != symbols.end();
}

static bool affine(Dim d, Dim symbol) {
  auto c = coefficient(d, symbol);
  return c && !holds(*c, loops::row()) && !holds(*c, loops::lane());
}

KernelWriter::KernelWriter(const Graph& g, const GraphIndex& index, const NodeSet& computed, std::string name)
    : g_(g), index_(index), computed_(computed) {
  kernel_.name = std::move(name);
}

bool KernelWriter::holds_lane(Dim d) const { return holds(d, loops::lane()); }
bool KernelWriter::holds_row(Dim d) const { return holds(d, loops::row()); }

// ---------------------------------------------------------------- scopes

/// Reads the nodes appended since the last look: which loops are open, and the bounds of the symbols they bind.
void KernelWriter::follow() {
  for (; followed_ < kernel_.nodes.size(); ++followed_) {
    const loops::Node& n = kernel_.nodes[followed_];
    if (n.kind == Kind::loop) {
      open_.push_back({static_cast<Val>(followed_), bounds_.size()});
      bounds_.push_back({n.variable, Dim(0), n.extent - Dim(1)});
    } else if (n.kind == Kind::yield) {
      bounds_.resize(open_.back().bounds);
      open_.pop_back();
    } else if (n.kind == Kind::index) {
      bounds_.push_back({n.variable, Dim(0), n.extent - Dim(1)});
    }
  }
}

KernelWriter::Key KernelWriter::key_of(u32 value, std::span<const Dim> coords, const TileContext& tile) {
  Key key{value, 0, 0, 0};
  bool rows = false, lanes = false;
  for (Dim c : coords) {
    key.push_back(c.bits());
    rows = rows || holds(c, loops::row());
    lanes = lanes || holds(c, loops::lane());
  }
  key[1] = static_cast<u64>(rows ? tile.rows : 1) << 32 | static_cast<u64>(lanes ? tile.lanes : 1);
  // Of a tail nothing is known past its limit: a whole tile at the same coordinates is another value.
  if (rows) key[2] = tile.row_limit.bits();
  if (lanes) key[3] = tile.lane_limit.bits();
  return key;
}

std::optional<KernelWriter::Memo> KernelWriter::find(const Key& key) {
  auto found = memo_.find(key);
  if (found == memo_.end()) return std::nullopt;
  follow();
  Val loop = found->second.loop;
  bool open = loop < 0 || std::any_of(open_.begin(), open_.end(), [&](const Open& o) { return o.loop == loop; });
  if (open) return found->second;
  memo_.erase(found);
  return std::nullopt;
}

void KernelWriter::remember(u32 value, std::span<const Dim> coords, Val v) {
  follow();
  memo_[key_of(value, coords, tile_)] = {v, Dim(0), open_.empty() ? -1 : open_.back().loop};
}

bool KernelWriter::proved(Dim nonnegative) {
  follow();
  std::vector<Bound> bounds = bounds_;
  auto add = [&](Dim symbol, int extent, Dim limit) {
    Dim last = limit == loops::Node::kNone ? Dim(extent - 1) : limit - Dim(1);
    bounds.push_back({symbol, Dim(0), last});
  };
  add(loops::row(), tile_.rows, tile_.row_limit);
  add(loops::lane(), tile_.lanes, tile_.lane_limit);
  return provably_nonnegative(nonnegative, bounds);
}

void KernelWriter::note(std::span<const Dim> dims) {
  if (observed_) observed_->insert(observed_->end(), dims.begin(), dims.end());
}

// ---------------------------------------------------------------- buffers

static std::string numbered(const char* stem, size_t n) { return stem + std::to_string(n); }

int KernelWriter::input_buffer(u32 value) {
  auto [place, fresh] = inputs_.try_emplace(value, 0);
  if (fresh) {
    Type t = g_.type(value);
    place->second = b_.buffer(numbered("x", arguments_.size()), t.dtype(), {t.size()}, loops::Buffer::Role::in);
    arguments_.push_back({false, false, value});
  }
  return place->second;
}

int KernelWriter::output_buffer(u32 value) {
  auto [place, fresh] = outputs_.try_emplace(value, 0);
  if (fresh) {
    Type t = g_.type(value);
    place->second = b_.buffer(numbered("y", arguments_.size()), t.dtype(), {t.size()}, loops::Buffer::Role::out);
    arguments_.push_back({false, true, value});
  }
  return place->second;
}

int KernelWriter::temp(std::string name, DType dtype, Shape shape) {
  arguments_.push_back({true, true, 0});
  return b_.buffer(std::move(name), dtype, {product(shape)}, loops::Buffer::Role::temp);
}

Dim KernelWriter::offset_of(u32 value, std::span<const Dim> coords) const {
  auto shape = g_.type(value).shape();
  Dim offset = 0, stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride = stride * shape[i]) offset = offset + coords[i] * stride;
  return offset;
}

// ---------------------------------------------------------------- tiles

Val KernelWriter::dim_tile(Dim d, DType dtype) {
  note({&d, 1});
  bool has_row = holds_row(d), has_lane = holds_lane(d);
  bool plain = (!has_row || affine(d, loops::row())) && (!has_lane || affine(d, loops::lane()));
  bool direct = dtype == DType::i64 || dtype == DType::i32;
  if (plain && direct) return b_.dim(d, dtype, has_row ? tile_.rows : 1, has_lane ? tile_.lanes : 1);
  Val v = number_tile(d);
  return b_.cast(v, dtype);
}

/// As i64: what is affine in r and l as one Dim, the rest by arithmetic on tiles.
Val KernelWriter::number_tile(Dim d) {
  bool has_row = holds_row(d), has_lane = holds_lane(d);
  if ((!has_row || affine(d, loops::row())) && (!has_lane || affine(d, loops::lane())))
    return b_.dim(d, DType::i64, has_row ? tile_.rows : 1, has_lane ? tile_.lanes : 1);
  const DimNode* n = d.node();
  if (n->kind != DimNode::Kind::polynomial) {
    Val a = number_tile(n->a);
    Val b = number_tile(n->b);
    ScalarOp op = n->kind == DimNode::Kind::floordiv ? ScalarOp::floor_div
                  : n->kind == DimNode::Kind::min    ? ScalarOp::min
                                                     : ScalarOp::max;
    return b_.map(op, {a, b});
  }
  Dim easy = 0;
  std::optional<Val> sum;
  for (const DimNode::Term& t : n->terms) {
    Dim whole = t.coefficient, scale = t.coefficient;
    std::vector<Dim> hard;  // atoms that are no plain symbols but hold r or l
    for (const DimNode* atom : t.atoms) {
      Dim a(atom);
      whole = whole * a;
      bool tile = holds_row(a) || holds_lane(a);
      if (tile)
        hard.push_back(a);
      else
        scale = scale * a;
    }
    if (hard.empty() || (hard.size() == 1 && hard[0].is_symbol())) {
      easy = easy + whole;
      continue;
    }
    Val product = b_.dim(scale, DType::i64);
    for (Dim a : hard) {
      Val factor = number_tile(a);
      product = b_.mul(product, factor);
    }
    sum = sum ? b_.add(*sum, product) : product;
  }
  if (easy == Dim(0)) return *sum;
  Val rest = number_tile(easy);
  return b_.add(*sum, rest);
}

std::optional<Val> KernelWriter::condition(std::span<const Reader::Limit> limits) {
  std::optional<Val> all;
  auto require = [&](Dim nonnegative) {
    if (observed_) note({&nonnegative, 1});
    if (proved(nonnegative)) return;
    Val zero = b_.constant_int(0, DType::i64);
    Val number = dim_tile(nonnegative, DType::i64);
    Val test = b_.map(ScalarOp::less_equal, {zero, number});
    all = all ? b_.map(ScalarOp::logical_and, {*all, test}) : test;
  };
  for (const Reader::Limit& l : limits) {
    require(l.index - l.low);
    require(l.high - Dim(1) - l.index);
  }
  return all;
}

Val KernelWriter::widened(Val v, int rows, int lanes) {
  loops::Tile t = b_.tile(v);
  if (t.rows == rows && t.lanes == lanes) return v;
  Val here = b_.dim(loops::row() + loops::lane(), DType::i32, rows, lanes);
  Val always = b_.equal(here, here);
  return b_.select(always, v, v);
}

/// Quotients that are 0 under the bounds of this place, as the coordinates of joined axes leave them.
Dim KernelWriter::simplified(Dim d) {
  std::vector<std::pair<Dim, Dim>> zeros;
  std::function<void(Dim)> visit = [&](Dim x) {
    if (x.is_constant() || x.is_symbol()) return;
    const DimNode* n = x.node();
    for (const DimNode::Term& t : n->terms)
      for (const DimNode* atom : t.atoms) visit(Dim(atom));
    if (n->kind == DimNode::Kind::polynomial) return;
    visit(n->a);
    visit(n->b);
    if (n->kind == DimNode::Kind::floordiv && proved(n->a) && proved(n->b - Dim(1) - n->a)) zeros.emplace_back(x, 0);
  };
  visit(d);
  return zeros.empty() ? d : substitute(d, zeros);
}

/// Prefetches the cache lines of a run of lanes.
void KernelWriter::fetch(int buffer, Dim offset) {
  constexpr i64 kLine = 64;
  if (ahead_.first == Dim(0) || tile_.rows > 1 || !holds(offset, ahead_.first)) return;
  if (coefficient(offset, loops::lane()) != Dim(1)) return;
  i64 lanes = tile_.lanes, step = kLine / bytes(kernel_.buffers[static_cast<size_t>(buffer)].dtype);
  if (tile_.lane_limit != loops::Node::kNone && tile_.lane_limit.is_constant()) lanes = tile_.lane_limit.value();
  for (i64 lane = 0; lane < lanes; lane += step) {
    std::pair<Dim, Dim> there[] = {ahead_, {loops::lane(), Dim(lane)}};
    Dim at = substitute(offset, there);
    b_.prefetch(buffer, {&at, 1});
  }
}

Val KernelWriter::load(int buffer, Dim offset) {
  fetch(buffer, offset);
  if (!affine(offset, loops::row()) || !affine(offset, loops::lane())) offset = simplified(offset);
  note({&offset, 1});
  bool has_row = holds_row(offset), has_lane = holds_lane(offset);
  int rows = has_row ? tile_.rows : 1, lanes = has_lane ? tile_.lanes : 1;
  loops::Builder::Limits limits{has_row ? tile_.row_limit : loops::Node::kNone,
                                has_lane ? tile_.lane_limit : loops::Node::kNone, true, 0};
  Val v;
  if (has_row && has_lane && coefficient(offset, loops::row()) == Dim(1) &&
      coefficient(offset, loops::lane()) != Dim(1) && affine(offset, loops::lane())) {
    // Memory runs along the rows: read with rows and lanes exchanged, then turned.
    const std::pair<Dim, Dim> exchange[] = {{loops::row(), loops::lane()}, {loops::lane(), loops::row()}};
    Dim turned = substitute(offset, exchange);
    std::swap(limits.rows, limits.lanes);
    Val run = b_.load(buffer, {&turned, 1}, lanes, rows, limits);
    v = b_.transpose(run);
  } else if ((!has_row || affine(offset, loops::row())) && (!has_lane || affine(offset, loops::lane()))) {
    v = b_.load(buffer, {&offset, 1}, rows, lanes, limits);
  } else {
    Val at = number_tile(offset);
    Dim origin = 0;
    v = b_.gather(buffer, {&origin, 1}, 0, at, limits);
  }
  return b_.cast(v, compute_dtype(b_.tile(v).dtype));
}

Val KernelWriter::gather(u32 value, std::span<const Dim> coords, int axis, Val at) {
  u32 producer = index_.producer[value];
  if (producer != GraphIndex::kInput && computed_.contains(producer)) throw Refusal{value, moving_};
  auto shape = g_.type(value).shape();
  auto a = static_cast<size_t>(axis);
  Dim stride = 1;
  for (size_t i = a + 1; i < shape.size(); ++i) stride = stride * shape[i];
  std::vector<Dim> rest(coords.begin(), coords.end());
  rest[a] = 0;
  Dim offset = offset_of(value, rest);
  Val zero = b_.constant_int(0, DType::i64);
  Val last = dim_tile(shape[a] - Dim(1), DType::i64);
  Val wide = b_.cast(at, DType::i64);
  Val above = b_.max(wide, zero);
  Val inside = b_.min(above, last);
  Val step = dim_tile(stride, DType::i64);
  Val scaled = b_.mul(inside, step);
  Val base = dim_tile(offset, DType::i64);
  Val flat = b_.add(scaled, base);
  loops::Tile t = b_.tile(flat);
  loops::Builder::Limits limits{t.rows > 1 ? tile_.row_limit : loops::Node::kNone,
                                t.lanes > 1 ? tile_.lane_limit : loops::Node::kNone, true, 0};
  Dim origin = 0;
  Val v = b_.gather(input_buffer(value), {&origin, 1}, 0, flat, limits);
  return b_.cast(v, compute_dtype(b_.tile(v).dtype));
}

Dim KernelWriter::index_of(u32 value, std::span<const Dim> coords, Dim extent) {
  Key key = key_of(value, coords, tile_);
  key.push_back(extent.bits());
  key.push_back(~u64{0});
  if (auto found = find(key)) return found->symbol;
  Val v = at(value, coords);
  if (b_.tile(v).size() != 1) internal("an index into memory must be one number, got a tile");
  Dim symbol = b_.index("s", v, extent);
  follow();
  memo_[key] = {v, symbol, open_.empty() ? -1 : open_.back().loop};
  return symbol;
}

void KernelWriter::store(u32 value, std::span<const Dim> coords, Val v, bool stream) {
  Dim offset = offset_of(value, coords);
  note({&offset, 1});
  bool has_row = holds_row(offset), has_lane = holds_lane(offset);
  v = widened(v, has_row ? tile_.rows : 1, has_lane ? tile_.lanes : 1);
  v = b_.cast(v, g_.type(value).dtype());
  loops::Builder::Limits limits{has_row ? tile_.row_limit : loops::Node::kNone,
                                has_lane ? tile_.lane_limit : loops::Node::kNone, false, 0};
  fetch(output_buffer(value), offset);
  b_.store(output_buffer(value), {&offset, 1}, v, limits, stream);
}

// ---------------------------------------------------------------- values

namespace {

/// What a Movement rule sees: the operands of one node.
class NodeReader : public Reader {
 public:
  NodeReader(KernelWriter& writer, const Node& node) : w_(writer), node_(node) {}

  loops::Builder& builder() override { return w_.builder(); }

  Val load(int operand, std::span<const Dim> coords) override { return w_.at(value(operand), coords); }

  Val load_where(int operand, std::span<const Dim> coords, std::span<const Limit> limits, double otherwise) override {
    return w_.at_where(value(operand), coords, limits, otherwise);
  }

  Val choose(std::span<const Limit> limits, Val a, Val b) override {
    auto inside = w_.condition(limits);
    return inside ? w_.builder().select(*inside, a, b) : a;
  }

  Dim index(int operand, std::span<const Dim> coords, Dim extent) override {
    return w_.index_of(value(operand), coords, extent);
  }

  Val gather(int operand, std::span<const Dim> coords, int axis, Val at) override {
    return w_.gather(value(operand), coords, axis, at);
  }

  Val coordinate(Dim d, DType dtype) override { return w_.dim_tile(d, compute_dtype(dtype)); }

 private:
  u32 value(int operand) const { return w_.graph().operands(node_)[static_cast<size_t>(operand)]; }
  KernelWriter& w_;
  const Node& node_;
};

}  // namespace

std::optional<Val> KernelWriter::literal(const Node& n) {
  if (!is_constant(n)) return std::nullopt;
  const Array& a = n.attrs.get<Array>("value");
  if (a.size() != 1) return std::nullopt;
  if (is_float(a.dtype)) return b_.constant(a.get(0), compute_dtype(a.dtype));
  return b_.constant_int(a.get_int(0), a.dtype);
}

Val KernelWriter::scalar(const Node& n, const Scalar& rule, std::span<const Dim> coords) {
  std::vector<Val> x;
  std::vector<DType> dtypes;
  for (u32 v : g_.operands(n)) {
    x.push_back(at(v, coords));
    dtypes.push_back(compute_dtype(g_.type(v).dtype()));
  }
  DType result = g_.type(n.first_result).dtype();
  Val v = rule.expression(b_, x, {dtypes, compute_dtype(result)}, n.attrs);
  if (!is_narrow_float(result)) return v;
  Val narrow = b_.cast(v, result);
  return b_.cast(narrow, compute_dtype(result));
}

Val KernelWriter::compute(u32 value, std::span<const Dim> coords) {
  if (auto kept = kept_.find(value); kept != kept_.end())
    if (auto place = kept->second.second(coords)) return load(kept->second.first, *place);
  u32 producer = index_.producer[value];
  if (producer != GraphIndex::kInput) {
    const Node& n = g_.nodes()[producer];
    if (auto number = literal(n)) return *number;
    if (computed_.contains(producer)) {
      if (const auto* rule = n.op->lower.as<Scalar>()) return scalar(n, *rule, coords);
      const auto* movement = n.op->lower.as<Movement>();
      const auto* costly = n.op->lower.as<Costly>();
      if (!movement && !costly) throw Refusal{value, moving_};
      std::vector<Type> types;
      for (u32 v : g_.operands(n)) types.push_back(g_.type(v));
      NodeReader reader(*this, n);
      AtRule rule = movement ? movement->at : costly->at;
      u32 around = moving_;
      if (movement && around == Refusal::kNone) moving_ = producer;
      Val v = rule(reader, types, g_.type(value), n.attrs, coords);
      moving_ = around;
      return v;
    }
  }
  return load(input_buffer(value), offset_of(value, coords));
}

Val KernelWriter::at(u32 value, std::span<const Dim> coords) {
  if (auto found = find(key_of(value, coords, tile_))) return found->value;
  Val v = compute(value, coords);
  remember(value, coords, v);
  return v;
}

Val KernelWriter::at_where(u32 value, std::span<const Dim> coords, std::span<const Reader::Limit> limits,
                           double otherwise) {
  Type t = g_.type(value);
  auto shape = t.shape();
  for (Dim extent : shape)
    if (extent == Dim(0)) return b_.constant(otherwise, compute_dtype(t.dtype()));
  auto inside = condition(limits);
  if (!inside) return at(value, coords);
  // Outside the limits some element is read and not used; none where there is none.
  std::vector<Dim> clamped(coords.begin(), coords.end());
  TileContext around = tile_;
  for (size_t i = 0; i < clamped.size(); ++i) {
    Dim last = shape[i] - Dim(1), before = clamped[i];
    if (!proved(last - clamped[i])) clamped[i] = min(clamped[i], last);
    if (!proved(clamped[i])) clamped[i] = max(clamped[i], 0);
    if (clamped[i] == before || proved(last)) continue;
    Dim rows = Dim(tile_.rows) * min(shape[i], 1);
    tile_.row_limit = tile_.row_limit == loops::Node::kNone ? rows : min(tile_.row_limit, rows);
  }
  Val v = at(value, clamped);
  tile_ = around;
  Val other = b_.constant(otherwise, compute_dtype(t.dtype()));
  return b_.select(*inside, v, other);
}

// ---------------------------------------------------------------- end

loops::Kernel KernelWriter::finish() {
  std::vector<Dim> bound{loops::row(), loops::lane(), loops::Node::kNone};
  for (const loops::Node& n : kernel_.nodes)
    if (n.variable != loops::Node::kNone) bound.push_back(n.variable);
  auto add = [&](Dim d) {
    for (Dim s : symbols_of(d))
      if (std::find(bound.begin(), bound.end(), s) == bound.end()) b_.size(s);
  };
  for (const loops::Buffer& buffer : kernel_.buffers) {
    for (Dim d : buffer.shape) add(d);
    add(buffer.offset);
  }
  for (const loops::Node& n : kernel_.nodes)
    for (Dim d : {n.extent, n.row_limit, n.lane_limit}) add(d);
  for (Dim d : kernel_.dims) add(d);
  add(kernel_.scratch_bytes);
  return std::move(kernel_);
}

}  // namespace tn
