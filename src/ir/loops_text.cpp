// Kernels as text, both ways; the form of LLVM IR with Dims for addresses:
//
//   kernel scale(n; in A: f32[n], out Y: f32[n]) scratch 0 {
//     parallel i < (n + 63)//64 {
//       %1 = f32<1x64> load A[l + 64*i] where l < n - 64*i else 0
//       %2 = f32 const 0.5
//       %3 = f32<1x64> mul %1, %2
//       store Y[l + 64*i] where l < n - 64*i = %3
//     }
//   }
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "ir/loops.h"
#include "ir/text.h"

namespace tn::loops {

// ---------------------------------------------------------------- printing

namespace {

constexpr std::string_view kRoles[] = {"in", "out", "inout", "temp", "scratch"};

constexpr const char* kFetch[] = {"", ".far", ".write"};

class Printer {
 public:
  Printer(const Kernel& k, bool canonical) : k_(k), canonical_(canonical) {}

  std::string run() {
    rename();
    text_ = "kernel " + (canonical_ ? "k" : k_.name) + "(";
    for (size_t i = 0; i < k_.sizes.size(); ++i) text_ += (i ? ", " : "") + dim(k_.sizes[i]);
    text_ += ";";
    bool first = true;
    for (size_t i = 0; i < k_.buffers.size(); ++i) {
      const Buffer& b = k_.buffers[i];
      text_ += (first ? " " : ", ") + std::string(kRoles[static_cast<size_t>(b.role)]) + " " + buffer(i) + ": " +
               std::string(tn::name(b.dtype)) + shape(b.shape) + " by " + shape(b.strides);
      if (!b.is_argument()) text_ += " at " + dim(b.offset);
      first = false;
    }
    text_ += ") scratch " + dim(k_.scratch_bytes) + " {\n";
    for (size_t n = 0; n < k_.nodes.size(); ++n) line(static_cast<Val>(n));
    return text_ + "}\n";
  }

 private:
  /// Sizes n0.. and variables v0.. in a canonical text; else their own names, made different where they are not.
  void rename() {
    renames_ = {{row(), Dim::symbol("r")}, {lane(), Dim::symbol("l")}};
    std::unordered_set<std::string> taken{"r", "l", "min", "max"};
    size_t sizes = 0, variables = 0;
    auto give = [&](Dim symbol, std::string canonical) {
      std::string own = to_string(symbol), stem = own.substr(0, own.find('\''));
      if (stem.empty()) stem = "v";
      std::string name = canonical_ ? canonical : stem;
      for (int i = 2; !taken.insert(name).second; ++i) name = stem + std::to_string(i);
      renames_.emplace_back(symbol, Dim::symbol(name));
    };
    for (Dim s : k_.sizes) give(s, "n" + std::to_string(sizes++));
    for (const Node& n : k_.nodes)
      if (n.variable != Node::kNone) give(n.variable, "v" + std::to_string(variables++));
  }

  std::string dim(Dim d) const { return tn::to_string(substitute(d, renames_)); }
  std::string buffer(size_t i) const { return canonical_ ? "b" + std::to_string(i) : k_.buffers[i].name; }

  std::string shape(std::span<const Dim> s) const {
    std::string t = "[";
    for (size_t i = 0; i < s.size(); ++i) t += (i ? ", " : "") + dim(s[i]);
    return t + "]";
  }

  static std::string value(Val v) { return "%" + std::to_string(v); }

  std::string values(const Node& n) const {
    std::string t;
    for (Val v : k_.operands(n)) t += (t.empty() ? " " : ", ") + value(v);
    return t;
  }

  static std::string tile(const Tile& t) {
    std::string s(tn::name(t.dtype));
    if (t.size() > 1) s += "<" + std::to_string(t.rows) + "x" + std::to_string(t.lanes) + ">";
    return s;
  }

  std::string limits(const Node& n, bool load) const {
    std::string t;
    if (n.row_limit != Node::kNone) t += " where r < " + dim(n.row_limit);
    if (n.lane_limit != Node::kNone) t += std::string(t.empty() ? " where" : ",") + " l < " + dim(n.lane_limit);
    if (load && !t.empty()) t += n.any ? " else any" : " else " + number_text(n.number);
    return t;
  }

  std::string access(const Node& n, bool load) const {
    return buffer(static_cast<size_t>(n.buffer)) + shape(k_.index(n)) + limits(n, load);
  }

  void line(Val v) {
    const Node& n = k_.nodes[static_cast<size_t>(v)];
    if (n.kind == Kind::carry) return;
    if (n.kind == Kind::yield) --indent_;
    text_.append(static_cast<size_t>(2 * indent_), ' ');
    std::string made = value(v) + " = " + tile(n.tile) + " ";
    const char* axis = n.axis == Axis::lanes ? " lanes" : " rows";
    std::string op(info(n.op).name);
    switch (n.kind) {
      case Kind::constant:
        text_ += made + "const " + (is_float(n.tile.dtype) ? number_text(n.number) : std::to_string(n.whole));
        break;
      case Kind::dim: text_ += made + "dim " + dim(k_.index(n)[0]); break;
      case Kind::map: text_ += made + op + values(n); break;
      case Kind::reduce: text_ += made + "reduce." + op + axis + values(n); break;
      case Kind::scan: text_ += made + "scan." + op + values(n); break;
      case Kind::slice: text_ += made + "slice" + axis + " " + std::to_string(n.at) + "," + values(n); break;
      case Kind::transpose: text_ += made + "transpose" + values(n); break;
      case Kind::load: text_ += made + "load " + access(n, true); break;
      case Kind::store:
        text_ += std::string("store") + (n.stream ? ".nt " : " ") + access(n, false) + " =" + values(n);
        break;
      case Kind::gather:
        text_ += made + "gather axis " + std::to_string(n.at) + values(n) + " of " + access(n, true);
        break;
      case Kind::scatter:
        text_ += "scatter." + (n.op == ScalarOp::add ? std::string("add") : std::string("set")) + " axis " +
                 std::to_string(n.at) + values(n) + " to " + access(n, false);
        break;
      case Kind::alloc: text_ += "alloc " + buffer(static_cast<size_t>(n.buffer)); break;
      case Kind::prefetch: text_ += "prefetch" + std::string(kFetch[n.at]) + " " + access(n, false); break;
      case Kind::check: text_ += "check " + std::to_string(n.at) + "," + values(n); break;
      case Kind::loop: loop(v, n); break;
      case Kind::yield: text_ += n.arg_count ? "} yield" + values(n) : "}"; break;
      case Kind::result: text_ += made + "result " + std::to_string(n.at); break;
      case Kind::index: text_ += "index " + dim(n.variable) + " =" + values(n) + " < " + dim(n.extent); break;
      case Kind::mma:
      case Kind::barrier:
      case Kind::while_:
      case Kind::if_:
      case Kind::carry: internal("a node kind that has no text");
    }
    text_ += "\n";
  }

  void loop(Val v, const Node& n) {
    text_ += std::string(n.loop == LoopKind::parallel ? "parallel " : "for ") + dim(n.variable) + " < " + dim(n.extent);
    auto initial = k_.operands(n);
    for (size_t i = 0; i < initial.size(); ++i)
      text_ += (i ? ", " : " carry ") + value(v + 1 + static_cast<Val>(i)) + " = " + value(initial[i]);
    text_ += " {";
    ++indent_;
  }

  const Kernel& k_;
  bool canonical_;
  std::vector<std::pair<Dim, Dim>> renames_;
  std::string text_;
  int indent_ = 1;
};

}  // namespace

std::string to_string(const Kernel& k) { return Printer(k, false).run(); }
std::string canonical_text(const Kernel& k) { return Printer(k, true).run(); }

KernelKey kernel_key(std::string_view canonical) {
  return {hash_bytes(canonical.data(), canonical.size(), 0x243F6A8885A308D3ull),
          hash_bytes(canonical.data(), canonical.size(), 0x13198A2E03707344ull)};
}

// ---------------------------------------------------------------- parsing

namespace {

class KernelParser {
 public:
  explicit KernelParser(std::string_view text) : cursor_(text, "parse_kernel") {}

  Kernel run() {
    cursor_.need("kernel");
    k_.name = cursor_.word();
    cursor_.need("(");
    if (!cursor_.eat(";")) {
      do {
        std::string_view name = cursor_.word();
        k_.sizes.push_back(declare(name));
      } while (cursor_.eat(","));
      cursor_.need(";");
    }
    if (!cursor_.eat(")")) {
      do buffer();
      while (cursor_.eat(","));
      cursor_.need(")");
    }
    cursor_.need("scratch");
    k_.scratch_bytes = dim();
    cursor_.need("{");
    while (!open_.empty() || !cursor_.eat("}")) {
      if (k_.nodes.size() > kMaxNodes) cursor_.fail_expected("at most " + std::to_string(kMaxNodes) + " nodes");
      line();
    }
    if (!cursor_.at_end()) cursor_.fail_expected("the end of the text");
    return std::move(k_);
  }

 private:
  static constexpr size_t kMaxNodes = 200000;
  static constexpr int kMaxTile = 65536;

  Dim declare(std::string_view name) {
    if (name == "r" || name == "l" || name == "min" || name == "max")
      cursor_.fail_expected("a name other than r, l, min, max");
    Dim d = Dim::symbol(name);
    if (!names_.emplace(std::string(name), d).second) cursor_.fail_expected("each name declared once");
    return d;
  }

  static Dim lookup(void* self, std::string_view name) {
    auto& parser = *static_cast<KernelParser*>(self);
    if (name == "r") return row();
    if (name == "l") return lane();
    auto found = parser.names_.find(std::string(name));
    if (found == parser.names_.end())
      parser.cursor_.fail_expected("a size, a loop's variable, r or l, not '" + std::string(name) + "'");
    return found->second;
  }

  Dim dim() { return cursor_.dim(lookup, this); }

  Shape dims() {
    Shape s;
    cursor_.need("[");
    if (cursor_.eat("]")) return s;
    do s.push_back(dim());
    while (cursor_.eat(","));
    cursor_.need("]");
    return s;
  }

  void buffer() {
    Buffer b;
    std::string_view role = cursor_.word();
    size_t i = 0;
    while (i < std::size(kRoles) && kRoles[i] != role) ++i;
    if (i == std::size(kRoles)) cursor_.fail_expected("in, out, inout, temp or scratch");
    b.role = static_cast<Buffer::Role>(i);
    b.name = cursor_.word();
    cursor_.need(":");
    b.dtype = dtype_from_name(cursor_.word());
    b.shape = dims();
    cursor_.need("by");
    b.strides = dims();
    if (b.strides.size() != b.shape.size()) cursor_.fail_expected("a stride for each extent");
    if (b.is_argument())
      ++k_.buffer_arguments;
    else {
      cursor_.need("at");
      b.offset = dim();
    }
    if (!buffers_.emplace(b.name, static_cast<int>(k_.buffers.size())).second)
      cursor_.fail_expected("each buffer's name once");
    k_.buffers.push_back(std::move(b));
  }

  int buffer_name() {
    auto found = buffers_.find(std::string(cursor_.word()));
    if (found == buffers_.end()) cursor_.fail_expected("a buffer of the kernel");
    return found->second;
  }

  Val value() {
    cursor_.need("%");
    i64 v = cursor_.integer();
    if (v < 0 || v >= static_cast<i64>(k_.nodes.size())) cursor_.fail_expected("a value made above");
    return static_cast<Val>(v);
  }

  std::vector<Val> values() {
    std::vector<Val> r;
    if (cursor_.peek() != '%') return r;
    do r.push_back(value());
    while (cursor_.eat(","));
    return r;
  }

  int small(i64 low, i64 high) {
    i64 v = cursor_.integer();
    if (v < low || v > high)
      cursor_.fail_expected("an integer from " + std::to_string(low) + " to " + std::to_string(high));
    return static_cast<int>(v);
  }

  Tile tile() {
    Tile t;
    t.dtype = dtype_from_name(cursor_.word());
    if (!cursor_.eat("<")) return t;
    t.rows = small(1, kMaxTile);
    // "1x64" reads as one word after the number: x64.
    std::string_view rest = cursor_.rest();
    if (!rest.starts_with("x")) cursor_.fail_expected("'x'");
    cursor_.advance(1);
    t.lanes = small(1, kMaxTile);
    if (static_cast<i64>(t.rows) * t.lanes > kMaxTile)
      cursor_.fail_expected("a tile of at most " + std::to_string(kMaxTile) + " elements");
    cursor_.need(">");
    return t;
  }

  void access(Node& n, bool load) {
    n.buffer = buffer_name();
    index_ = dims();
    if (index_.size() != k_.buffers[static_cast<size_t>(n.buffer)].shape.size())
      cursor_.fail_expected("an index for each axis of the buffer");
    if (!cursor_.eat("where")) return;
    do {
      bool rows = cursor_.eat("r");
      if (!rows) cursor_.need("l");
      cursor_.need("<");
      (rows ? n.row_limit : n.lane_limit) = dim();
    } while (cursor_.eat(","));
    if (!load) return;
    cursor_.need("else");
    if (cursor_.eat("any"))
      n.any = true;
    else
      n.number = cursor_.number();
  }

  Val push(Node n, std::span<const Val> operands, std::span<const Dim> index = {}) {
    n.first_arg = static_cast<u32>(k_.args.size());
    n.arg_count = static_cast<u32>(operands.size());
    k_.args.insert(k_.args.end(), operands.begin(), operands.end());
    n.first_dim = static_cast<u32>(k_.dims.size());
    n.dim_count = static_cast<u32>(index.size());
    k_.dims.insert(k_.dims.end(), index.begin(), index.end());
    k_.nodes.push_back(n);
    return static_cast<Val>(k_.nodes.size()) - 1;
  }

  const Tile& tile_of(Val v) const { return k_.nodes[static_cast<size_t>(v)].tile; }

  void end_loop() {
    Node n{.kind = Kind::yield};
    std::vector<Val> next;
    if (cursor_.eat("yield")) next = values();
    n.at = open_.back();
    Node& head = k_.nodes[static_cast<size_t>(n.at)];
    if (next.size() != head.arg_count) cursor_.fail_expected("as many yielded values as carries");
    open_.pop_back();
    Val end = push(n, next);
    k_.nodes[static_cast<size_t>(n.at)].at = end;
  }

  void begin_loop(LoopKind kind) {
    Node n{.kind = Kind::loop};
    n.loop = kind;
    std::string_view name = cursor_.word();
    cursor_.need("<");
    n.extent = dim();
    n.variable = declare(name);
    std::vector<Val> initial;
    if (cursor_.eat("carry")) do {
        cursor_.need("%");
        cursor_.integer();
        cursor_.need("=");
        initial.push_back(value());
      } while (cursor_.eat(","));
    cursor_.need("{");
    if (open_.size() >= 64) cursor_.fail_expected("at most 64 nested loops");
    Val begin = push(n, initial);
    open_.push_back(begin);
    for (Val v : initial) {
      Node c{.kind = Kind::carry};
      c.tile = tile_of(v);
      push(c, {&begin, 1});
    }
  }

  void line() {
    if (!open_.empty() && cursor_.eat("}")) return end_loop();
    if (cursor_.eat("parallel")) return begin_loop(LoopKind::parallel);
    if (cursor_.eat("for")) return begin_loop(LoopKind::serial);
    index_.clear();
    if (cursor_.eat("alloc")) {
      Node n{.kind = Kind::alloc};
      n.buffer = buffer_name();
      push(n, {});
    } else if (cursor_.eat("prefetch")) {
      Node n{.kind = Kind::prefetch};
      if (cursor_.eat(".")) {
        bool far = cursor_.eat("far");
        if (!far) cursor_.need("write");
        n.at = static_cast<int>(far ? Fetch::far : Fetch::write);
      }
      access(n, false);
      push(n, {}, index_);
    } else if (cursor_.eat("check")) {
      Node n{.kind = Kind::check};
      n.at = small(0, 1 << 30);
      cursor_.need(",");
      push(n, values());
    } else if (cursor_.eat("index")) {
      Node n{.kind = Kind::index};
      std::string_view name = cursor_.word();
      cursor_.need("=");
      Val v = value();
      cursor_.need("<");
      n.extent = dim();
      n.variable = declare(name);
      push(n, {&v, 1});
    } else if (cursor_.eat("store"))
      store();
    else if (cursor_.eat("scatter"))
      scatter();
    else
      definition();
  }

  void store() {
    Node n{.kind = Kind::store};
    if (cursor_.eat(".")) {
      cursor_.need("nt");
      n.stream = true;
    }
    access(n, false);
    cursor_.need("=");
    Val v = value();
    n.tile = tile_of(v);
    push(n, {&v, 1}, index_);
  }

  void scatter() {
    Node n{.kind = Kind::scatter};
    cursor_.need(".");
    n.op = cursor_.eat("add") ? ScalarOp::add : (cursor_.need("set"), ScalarOp::select);
    cursor_.need("axis");
    n.at = small(0, 63);
    std::vector<Val> both = values();
    if (both.size() != 2) cursor_.fail_expected("an index tile and a value");
    n.tile = tile_of(both[1]);
    cursor_.need("to");
    access(n, false);
    push(n, both, index_);
  }

  Axis axis() {
    if (cursor_.eat("lanes")) return Axis::lanes;
    cursor_.need("rows");
    return Axis::rows;
  }

  ScalarOp op(std::string_view name) {
    auto found = scalar_op(name);
    if (!found) cursor_.fail_expected("an op, not '" + std::string(name) + "'");
    return *found;
  }

  void definition() {
    cursor_.need("%");
    if (cursor_.integer() != static_cast<i64>(k_.nodes.size()))
      cursor_.fail_expected("value %" + std::to_string(k_.nodes.size()));
    cursor_.need("=");
    Node n{.kind = Kind::map};
    n.tile = tile();
    std::vector<Val> operands;
    std::string_view word = cursor_.word();
    if (word == "const") {
      n.kind = Kind::constant;
      if (is_float(n.tile.dtype))
        n.number = cursor_.number();
      else
        n.whole = cursor_.integer();
    } else if (word == "dim") {
      n.kind = Kind::dim;
      index_ = {dim()};
    } else if (word == "load") {
      n.kind = Kind::load;
      access(n, true);
    } else if (word == "gather") {
      n.kind = Kind::gather;
      cursor_.need("axis");
      n.at = small(0, 63);
      operands = {value()};
      cursor_.need("of");
      access(n, true);
    } else if (word == "result") {
      n.kind = Kind::result;
      n.at = small(0, 1 << 20);
      Val end = static_cast<Val>(k_.nodes.size()) - 1 - n.at;
      if (end < 0 || k_.nodes[static_cast<size_t>(end)].kind != Kind::yield)
        cursor_.fail_expected("a result right after its loop");
      operands = {end};
    } else if (word == "transpose") {
      n.kind = Kind::transpose;
      operands = {value()};
    } else if (word == "slice") {
      n.kind = Kind::slice;
      n.axis = axis();
      n.at = small(0, kMaxTile);
      cursor_.need(",");
      operands = {value()};
    } else if (word == "reduce") {
      n.kind = Kind::reduce;
      cursor_.need(".");
      n.op = op(cursor_.word());
      n.axis = axis();
      operands = {value()};
    } else if (word == "scan") {
      n.kind = Kind::scan;
      cursor_.need(".");
      n.op = op(cursor_.word());
      operands = {value()};
    } else {
      n.op = op(word);
      operands = values();
      if (static_cast<int>(operands.size()) != info(n.op).arity)
        cursor_.fail_expected(std::to_string(info(n.op).arity) + " operands");
    }
    push(n, operands, index_);
  }

  Cursor cursor_;
  Kernel k_;
  Shape index_;
  std::unordered_map<std::string, Dim> names_;
  std::unordered_map<std::string, int> buffers_;
  std::vector<Val> open_;
};

}  // namespace

Kernel parse_kernel(std::string_view text) { return KernelParser(text).run(); }

}  // namespace tn::loops
