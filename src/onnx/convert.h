// Converting one ONNX node: what a converter is given, and the table of converters.
//
// Converters emit nodes of our IR. Shapes that ONNX computes at run time (Shape -> Gather -> Concat -> Reshape) are
// followed at import as symbolic sizes: a Known value carries its elements as Dims beside its node.
//
// Models are hostile: a converter looks at an axis, an element or an attribute only after it knows that it is there.
#pragma once
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/op_def.h"
#include "onnx/tensors.h"
#include "op/emit.h"

namespace tn::onnx {

/// Imports the bodies of If, Loop and Scan.
class BodyImporter {
 public:
  virtual ~BodyImporter() = default;
  /// Names of the surrounding graph that a body uses, sub-graphs of it included.
  virtual Strings captured(const GraphDef& body) = 0;
  /// A value of the surrounding graph.
  virtual Value outer(const std::string& name) = 0;
  /// (captured..., the body's inputs of these types...) -> the body's outputs.
  virtual GraphPtr import_body(const GraphDef& body, const Strings& captured, std::span<const Type> inputs) = 0;
};

/// Everything an import holds while it runs.
struct ImportState {
  Builder& builder;
  BodyImporter& bodies;
  /// Elements of integer values of rank 0 and 1 that sizes of the model are among, by value id.
  std::unordered_map<u32, Shape> dims;
  /// Contents of graph inputs, given by the caller when a shape must be known, and of values computed from them and
  /// from constants when a converter asked; by value id.
  std::unordered_map<u32, Array> given;
  /// Whether a value cannot be computed at import, by id: of the first `followed` nodes.
  struct {
    std::vector<bool> ids;
    size_t followed = 0;
  } open;
};

class Call;
using Converter = Values (*)(Call& call);

/// From `since` on (the newest entry not above the model's opset counts).
struct ConverterEntry {
  std::string_view op;
  i64 since;
  Converter convert;
};

class Call {
 public:
  Call(ImportState& state, const NodeDef& node, i64 opset, Values inputs)
      : state_(state), node_(node), opset_(opset), inputs_(std::move(inputs)) {}

  const NodeDef& node() const { return node_; }
  i64 opset() const { return opset_; }
  Builder& builder() const { return state_.builder; }
  ImportState& state() const { return state_; }

  // Inputs.
  size_t count() const { return inputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i]; }
  /// Input i; an error when it was not given, or has fewer axes.
  Value in(size_t i, i64 least_rank = 0) const;
  /// All inputs; an error when one was not given.
  Values all_in() const;
  const Values& inputs() const { return inputs_; }

  // What is known of an input at import.
  std::optional<Array> known(Value v) const;
  /// Elements as sizes (symbolic where the shape is), numbers beyond them the nearest one; an error naming the input
  /// and the fix when unknown.
  Shape known_dims(size_t i) const;
  /// Elements as sizes where they are known and sizes hold them.
  std::optional<Shape> find_dims(Value v) const;
  std::vector<i64> known_ints(size_t i) const;
  std::vector<double> known_doubles(size_t i) const;
  /// The one element of an input.
  Dim known_dim(size_t i) const;
  i64 known_int(size_t i) const;
  double known_double(size_t i) const;
  /// Whether the numbers among sizes are some of an integer dtype; its symbols are taken for such.
  static bool are_held(const Shape& dims, DType dtype);
  /// Records the elements of a result.
  Value with_dims(Value v, Shape dims) const;
  /// An integer tensor of these elements, which wrap as the dtype's do: a constant where they are numbers.
  Value from_dims(const Shape& dims, DType dtype, bool scalar = false) const;

  // Attributes; the second argument is the default.
  const Attribute* attribute(std::string_view name) const;
  i64 integer(std::string_view name, i64 otherwise) const;
  double floating(std::string_view name, double otherwise) const;
  std::string text(std::string_view name, std::string_view otherwise) const;
  std::vector<i64> integers(std::string_view name, std::vector<i64> otherwise = {}) const;
  std::vector<double> floats(std::string_view name) const;
  /// One number an axis: `count` of them, each from `least` to 2^31; all `otherwise` when not given.
  std::vector<i64> sizes(std::string_view name, size_t count, i64 otherwise, i64 least) const;
  i64 size(std::string_view name, i64 otherwise, i64 least, i64 most = i64{1} << 31) const;

  // Emitting.
  Value emit(std::string_view op, std::initializer_list<Value> x, Attrs attrs = {}) const;
  Values emit_all(std::string_view op, ValueSpan x, Attrs attrs = {}) const;
  Shape broadcast_shape(ValueSpan x) const;
  /// An elementwise op with NumPy broadcasting.
  Value map(std::string_view op, std::initializer_list<Value> x, Attrs attrs = {}) const;
  /// A scalar of x's dtype, broadcast to x's shape.
  Value like(Value x, double v) const;
  /// An error where an integer dtype does not hold v.
  Value scalar(double v, DType dtype) const;
  Value constant_of(const Array& a) const { return constant(builder(), a); }
  Value reduce(std::string_view op, Value v, const std::vector<i64>& axes, bool keepdims) const;

  /// Axis in [0, rank); an error for another.
  i64 axis(i64 a, i64 rank) const;
  std::vector<i64> axes(std::vector<i64> a, i64 rank) const;
  /// "[Conv] expected ..., got ...": thrown as Error; the importer adds node, op version and model.
  [[noreturn]] void refuse(const std::string& expected, const std::string& got, const std::string& fix = "") const;

 private:
  ImportState& state_;
  const NodeDef& node_;
  i64 opset_;
  Values inputs_;
};

std::span<const ConverterEntry> math_converters();
std::span<const ConverterEntry> reduce_converters();
std::span<const ConverterEntry> shape_converters();
std::span<const ConverterEntry> index_converters();
std::span<const ConverterEntry> linear_converters();
std::span<const ConverterEntry> attention_converters();
std::span<const ConverterEntry> nn_converters();
std::span<const ConverterEntry> loss_converters();
std::span<const ConverterEntry> pool_converters();
std::span<const ConverterEntry> resize_converters();
std::span<const ConverterEntry> control_converters();

/// Floats of 16 bits as f32, which holds what sums, squares and counts of them come to; the result is cast back, once.
Value widened(Value x);
/// a / b, of integers toward zero, as ONNX divides; our floor_divide rounds down.
Value quotient(Call& c, Value a, Value b);
/// The size nearest to a number of a file: sizes have 63 bits, and an end of 2^63 - 1 stands for any beyond them.
Dim nearest_size(i64 v);

/// The converter for op at that opset of the default domain; null when there is none.
Converter find_converter(std::string_view op, i64 opset);
/// All operators that have one.
Strings converter_names();

}  // namespace tn::onnx
