// OpDef: everything Tenon knows about one op, in one entry of its family's table. There is no enum of ops, no switch
// over them and no second list: type checking, eager calls, transforms, kernels, text, files, documents and tests read
// the entry. A missing rule does not compile, for no rule has a default.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/graph.h"

namespace tn::loops {
class Builder;
using Val = int;
}  // namespace tn::loops

namespace tn {

// ---------------------------------------------------------------- signature

/// What an operand may be; checked before the type rule, so that the rule sees only sensible input.
enum class Operands : u8 { any, floating, integer, boolean, numeric, signed_numeric };

struct OperandSpec {
  std::string_view name;
  Operands accepts = Operands::any;
  bool variadic = false;  // the last one only: zero or more
};

struct AttrSpec {
  std::string_view name;
  AttrKind kind;
  std::optional<Attr> otherwise;  // the default; without one the attribute must be given
};

struct Signature {
  std::vector<OperandSpec> operands;
  std::vector<AttrSpec> attrs;
  bool same_dtype = true;  // all operands have one dtype
};

/// Operand types and attributes to result types; throws Error through `fail(op name, ...)`.
using TypeRule = std::vector<Type> (*)(std::span<const Type> operands, const Attrs& attrs);

// ---------------------------------------------------------------- derivatives

/// Elementwise: dy/dx_i as an expression of the operands x and the result y; an absent Value means zero.
struct Partials {
  Value (*partial)(ValueSpan x, Value y, int i);
};
/// The cotangent of operand i from that of the result. `types` are those of all operands; x holds absent Values in the
/// place of linear operands.
using TransposeRule = Value (*)(ValueSpan x, Value cotangent, int i, const Attrs& attrs, std::span<const Type> types);
/// Linear in the operands of the bit set, jointly (add, select, concat); a set of all ones covers any number.
struct Linear {
  u32 operands;
  TransposeRule transpose;
  /// Linear but for a constant: the attributes of the op on tangents (pad by a value pads tangents by zero).
  Attrs (*tangent_attrs)(const Attrs& attrs) = nullptr;
};
/// Linear in each of the first two operands (mul, einsum, conv).
struct Bilinear {
  TransposeRule transpose;
};
/// Tangents of the results from operands x, results y and operand tangents t (absent = zero).
struct Jvp {
  Values (*tangents)(Builder& b, ValueSpan x, ValueSpan y, ValueSpan t, const Attrs& attrs);
};
/// Through Expand.
struct ByExpansion {};
/// Piecewise constant: the derivative is zero (floor, sign, comparisons, stop_gradient).
struct Zero {};
/// There is none; the text says why and what to use.
struct NoGrad {
  std::string_view why;
};
/// The result of a Region's split: known results now, a continuation that emits the linear part later.
struct SplitResult {
  Values known;      // by result; absent where unknown
  Mask unknown;      // by result
  Values residuals;  // known values the linear part needs
  std::function<Values(Builder& linear, ValueSpan residuals, ValueSpan unknown_operands)> emit_linear;
};
/// Ops with sub-graphs, barrier and custom rules.
struct Region {
  /// Emits primal results and fills tangents (absent = zero).
  Values (*jvp)(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& tangents);
  /// Partial evaluation; nothing = the whole node is unknown.
  std::optional<SplitResult> (*split)(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs);
  /// A cotangent by operand (absent = zero) for the linear ones.
  Values (*transpose)(Builder& b, ValueSpan x, const Mask& linear, ValueSpan cotangents, const Attrs& attrs,
                      std::span<const Type> results, std::span<const Type> operands);
  /// Emits the node so that its loops run and its asserts test only where `lane` (bool[]) holds.
  Values (*guard)(Builder& b, Value lane, ValueSpan x, const Attrs& attrs);
};

template <class... Ts>
struct Required : std::variant<Ts...> {  // a variant that must be given
  Required() = delete;
  using std::variant<Ts...>::variant;
  const std::variant<Ts...>& variant_() const { return *this; }
  template <class T>
  const T* as() const {
    return std::get_if<T>(static_cast<const std::variant<Ts...>*>(this));
  }
};
using Grad = Required<Partials, Linear, Bilinear, Jvp, Region, ByExpansion, Zero, NoGrad>;

// ---------------------------------------------------------------- axes (vmap, sharding)

/// Result and operands share all axes.
struct Elementwise {};
/// "...mk,...kn->...mn"
struct AxesSpec {
  std::string_view spec;
};
struct Batched {
  Values values;
  Mask batched;  // by result: has the leading batch axis
};
/// Emits the batched op: operands with batched[i] carry a leading axis of extent n.
struct AxesFn {
  Batched (*batch)(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs);
};
using Batching = Required<Elementwise, AxesSpec, AxesFn, ByExpansion>;

// ---------------------------------------------------------------- lowering: one alternative a kernel family

struct ScalarTypes {
  std::span<const DType> operands;  // compute dtypes: f16 and bf16 arrive as f32
  DType result;
};
/// One expression in the scalar language on the operands' tiles: folding, interpreter, LLVM, CUDA, fusion.
struct Scalar {
  loops::Val (*expression)(loops::Builder& b, std::span<const loops::Val> x, const ScalarTypes& types,
                           const Attrs& attrs);
};

/// How a Movement rule says where a result's element comes from; implemented where groups are lowered.
class Reader {
 public:
  struct Limit {  // low <= index < high
    Dim index, low, high;
  };
  virtual ~Reader() = default;
  virtual loops::Builder& builder() = 0;
  /// The operand's tile at the coordinates (one Dim an axis; they may hold r and l).
  virtual loops::Val load(int operand, std::span<const Dim> coords) = 0;
  /// The same where all limits hold, else the constant; coordinates are only read inside the limits.
  virtual loops::Val load_where(int operand, std::span<const Dim> coords, std::span<const Limit> limits,
                                double otherwise) = 0;
  /// A tile that is `a` where the limits hold, else `b`.
  virtual loops::Val choose(std::span<const Limit> limits, loops::Val a, loops::Val b) = 0;
  /// An integer operand's element as a Dim clamped to [0, extent); its coordinates hold neither r nor l.
  virtual Dim index(int operand, std::span<const Dim> coords, Dim extent) = 0;
  /// The operand's tile with the coordinate of `axis` given by an integer tile (clamped to the axis).
  virtual loops::Val gather(int operand, std::span<const Dim> coords, int axis, loops::Val at) = 0;
  /// A Dim as a tile of that dtype.
  virtual loops::Val coordinate(Dim d, DType dtype) = 0;
};
/// A result's element at given coordinates.
using AtRule = loops::Val (*)(Reader& reader, std::span<const Type> operands, Type result, const Attrs& attrs,
                              std::span<const Dim> coords);
/// result[coords] is found at coordinates of the operands: broadcast, permute, reshape, slice, pad, concat, flip, iota,
/// gather, dynamic_slice ... Free to compute again.
struct Movement {
  /// What the result holds of the operand: all in its order, so that it may lie in the same memory (reshape); all, some
  /// of it many times (broadcast); whatever the rule says.
  enum class Holds : u8 { any, same, repeated };
  AtRule at;
  Holds holds = Holds::any;
};
/// The same where an element costs a loop or many operations (pooling windows, random bits): fused into a reader only
/// where each element is asked for once.
struct Costly {
  AtRule at;
};
/// Over attribute `axes` (dropped from the result) by a fixed tree: "add" "mul" "max" "min" "and" "or" (max and min
/// propagate NaN).
struct Reduction {
  std::string_view combine;
};
/// Index of the first greatest element along attribute `axis`.
struct ArgReduction {
  bool greatest;
};
/// Inclusive running combination along attribute `axis`.
struct Prefix {
  std::string_view combine;
};
/// result[out] = sum over red of a[a_index] * b[b_index]; an index outside its operand reads zero. `out` and `red` are
/// symbols; matmul, einsum, dot and convolution (both backwards too) are this.
struct ContractionSpec {
  std::vector<Dim> red_extents;
  std::vector<Dim> a_index, b_index;
  /// lhs dilation: an a-index axis i is read only where divisible (index = a_index[i] / a_divisor[i]); empty = all 1.
  std::vector<i64> a_divisor;
};
struct Contraction {
  /// How many reduction symbols there are, then the indices in terms of them.
  int (*red_count)(std::span<const Type> operands, const Attrs& attrs);
  ContractionSpec (*spec)(std::span<const Type> operands, const Attrs& attrs, std::span<const Dim> out,
                          std::span<const Dim> red);
};
/// A library kernel on whole arrays in plain C++ (sort, scatter, permutation): the run-time calls it. Deterministic for
/// any thread count; results are allocated by the caller.
struct Native {
  void (*run)(std::span<const Array> operands, std::span<Array> results, const Attrs& attrs);
  bool local = false;  // means something in the process that made it alone: no file holds it
};
/// A kernel family of the compiler that takes a composite whole.
enum class Template : u8 { none, attention };
/// Into simpler ops, unless the compiler has a template for the whole.
struct Expand {
  Values (*expand)(Builder& b, ValueSpan x, const Attrs& attrs);
  Template whole = Template::none;
};
/// What no kernel computes: constants, calls, control flow. `loop` is while; a barrier ties memory and moves nothing.
struct Structured {
  enum class Kind : u8 { constant, call, cond, loop, scan, barrier };
  Kind kind;
};
using Lower =
    Required<Scalar, Movement, Costly, Reduction, ArgReduction, Prefix, Contraction, Native, Expand, Structured>;

// ---------------------------------------------------------------- oracle, effect, samples

/// One element in double precision and libm; an integer op gives the i64 form (results wrap to the dtype).
struct RefScalar {
  double (*floating)(std::span<const double> x, const Attrs& attrs);
  i64 (*integer)(std::span<const i64> x, const Attrs& attrs);
};
struct RefArrays {
  std::vector<Array> (*run)(std::span<const Array> operands, const Attrs& attrs, std::span<const Type> results,
                            const DimEnv& env);
};
/// Composites have no meaning of their own; ops with sub-graphs are run by the evaluator.
struct RefNone {};
using Ref = Required<RefScalar, RefArrays, RefNone>;

struct Pure {};
/// Runs exactly once, in order with its channel.
struct Ordered {
  std::string_view channel;
};
using Effect = Required<Pure, Ordered>;

/// One example: operand shapes and dtypes with their domain, attributes; or a call that must fail with a text.
struct SampleOperand {
  DType dtype = DType::f32;
  std::vector<i64> shape;
  double low = -2, high = 2;   // uniform in [low, high)
  std::vector<double> values;  // or these, row-major
};
struct Sample {
  std::vector<SampleOperand> operands;
  Attrs attrs;
  std::string_view error;  // when not empty: the call fails and the message contains this
  double tolerance = 0;    // against ref, relative; 0 = the dtype's default
};
using Samples = std::vector<Sample> (*)();

struct OpDef {
  std::string_view name;
  int version;
  std::string_view doc;  // one line, then semantics: shapes, NaN, overflow, empty
  Signature signature;
  TypeRule type;
  Grad grad;
  Batching axes;
  Lower lower;
  Ref ref;
  Effect effect;
  Samples samples;
};

/// Whether the op is structured in that way.
inline bool is(const OpDef& op, Structured::Kind kind) {
  const auto* s = op.lower.as<Structured>();
  return s && s->kind == kind;
}
inline bool is_constant(const Node& n) { return is(*n.op, Structured::Kind::constant); }
/// Whether it means something in this process alone.
inline bool is_local(const OpDef& op) {
  const auto* native = op.lower.as<Native>();
  return native && native->local;
}

/// Checks operand count, kinds and attributes against the signature; the attributes with defaults filled in. Throws
/// Error.
Attrs check_call(const OpDef& op, std::span<const Type> operands, const Attrs& attrs);

/// For what is written to files: Error naming a node that means something in this process alone; of a graph, at any
/// depth.
void check_portable(std::string_view where, const Node& n);
void check_portable(std::string_view where, const Graph& g);

/// All ops, by family then name.
std::span<const OpDef* const> all_ops();
/// The op of that name; Error naming near ones when there is none.
const OpDef& op(std::string_view name);
const OpDef* find_op(std::string_view name);
/// Ops that a plugin adds at run time live as long as the process.
void register_op(const OpDef* op);

}  // namespace tn
