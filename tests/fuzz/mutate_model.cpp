// Mutations of ONNX models that keep them models: other numbers, names, types and operators where such stand. Bytes
// changed at random seldom get past the decoder; these reach the rules of the operators.
#include <algorithm>

#include "onnx/convert.h"
#include "onnx/import.h"
#include "targets.h"

namespace tn::fuzz {

namespace {

using onnx::Attribute;
using onnx::Element;
using onnx::ModelDef;
using onnx::NodeDef;
using onnx::OpsetImport;
using onnx::TensorValue;
using onnx::TypeInfo;
using onnx::ValueInfo;

class Mutation {
 public:
  Mutation(ModelDef& model, u64 seed) : model_(model), random_{seed} {}

  void change() {
    switch (random_.below(10)) {
      case 0:
      case 1:
      case 2: return attribute();
      case 3: return input_type();
      case 4:
      case 5: return initializer();
      case 6:
      case 7: return operands();
      case 8: return operation();
      default: return outputs();
    }
  }

 private:
  template <class T>
  T* any(std::vector<T>& list) {
    return list.empty() ? nullptr : &list[random_.below(list.size())];
  }
  NodeDef* any_node() { return any(model_.graph.nodes); }

  i64 number() {
    constexpr i64 kEdges[] = {-1,           0,        1, 2, 3, 5, 7, 64, 1 << 20, 1ll << 31, 1ll << 40, 1ll << 62,
                              -(1ll << 62), INT64_MIN};
    return kEdges[random_.below(std::size(kEdges))];
  }
  void numbers(std::vector<i64>& list) {
    switch (list.empty() ? 0 : random_.below(4)) {
      case 0: list.push_back(number()); break;
      case 1: list.pop_back(); break;
      default: *any(list) = number();
    }
  }

  void attribute() {
    NodeDef* n = any_node();
    Attribute* a = n ? any(n->attributes) : nullptr;
    if (!a) return;
    if (random_.below(8) == 0) {
      n->attributes.erase(n->attributes.begin() + (a - n->attributes.data()));
      return;
    }
    if (random_.below(8) == 0) a->kind = static_cast<Attribute::Kind>(random_.below(9));
    a->i = number();
    a->f = static_cast<float>(number());
    if (random_.below(2)) a->s += "x";
    numbers(a->ints);
    if (!a->tensors.empty()) tensor(a->tensors[0]);
    if (!a->graphs.empty()) {
      std::swap(model_.graph, *a->graphs[0]);  // the body's nodes are changed like any others
      change();
      std::swap(model_.graph, *a->graphs[0]);
    }
  }

  void input_type() {
    ValueInfo* v = any(model_.graph.inputs);
    if (!v) return;
    auto& shape = v->type.shape;
    using Kind = TypeInfo::Extent::Kind;
    switch (random_.below(5)) {
      case 0: shape.push_back({Kind::value, number(), ""}); break;
      case 1:
        if (!shape.empty()) shape.pop_back();
        break;
      case 2:
        if (!shape.empty()) *any(shape) = {Kind::value, number(), ""};
        break;
      case 3:
        if (!shape.empty()) *any(shape) = {Kind::name, 0, std::string(1, static_cast<char>('a' + random_.below(3)))};
        break;
      default: v->type.element = static_cast<Element>(1 + random_.below(16));
    }
  }

  void tensor(TensorValue& t) {
    auto dtype = onnx::dtype_of(t.element);
    size_t width = dtype ? static_cast<size_t>(bytes(*dtype)) : 1;
    if (random_.below(4) == 0) {  // another shape, with as many bytes
      numbers(t.dims);
      i64 count = 1;
      for (i64 d : t.dims)
        if (__builtin_mul_overflow(count, d, &count)) return;
      if (count >= 0 && count < 1024) t.raw.resize(static_cast<size_t>(count) * width, '\1');
    } else if (width == 8 && t.raw.size() >= 8) {
      i64 v = number();
      std::copy_n(reinterpret_cast<const char*>(&v), 8,
                  t.raw.begin() + static_cast<i64>(8 * random_.below(t.raw.size() / 8)));
    }
  }
  void initializer() {
    if (TensorValue* t = any(model_.graph.initializers)) return tensor(*t);
    // An input becomes one: integers that shapes are made of.
    ValueInfo* v = any(model_.graph.inputs);
    if (!v || v->type.element != Element::int64) return;
    i64 count = 1;
    std::vector<i64> shape;
    for (const auto& e : v->type.shape) {
      shape.push_back(e.value);
      if (e.value < 0 || __builtin_mul_overflow(count, e.value, &count) || count > 1024) return;
    }
    TensorValue t{v->name, Element::int64, shape, "", {}, {}};
    for (i64 i = 0; i < count; ++i) {
      i64 e = random_.below(3) ? static_cast<i64>(random_.below(4)) : number();
      t.raw.append(reinterpret_cast<const char*>(&e), 8);
    }
    model_.graph.initializers.push_back(std::move(t));
  }

  void operands() {
    NodeDef* n = any_node();
    std::string* name = n ? any(n->inputs) : nullptr;
    if (!name) return;
    ValueInfo* other = any(model_.graph.inputs);
    switch (random_.below(4)) {
      case 0: n->inputs.pop_back(); break;
      case 1: name->clear(); break;
      case 2: n->inputs.push_back(*name); break;
      default:
        if (other) *name = other->name;
    }
  }

  void operation() {
    if (NodeDef* n = any_node(); n && random_.below(2)) {
      auto names = onnx::converter_names();
      n->op_type = names[random_.below(names.size())];
    } else if (OpsetImport* o = any(model_.opsets))
      o->version = static_cast<i64>(1 + random_.below(28));
  }

  void outputs() {
    NodeDef* n = any_node();
    if (!n) return;
    if (random_.below(2))
      n->outputs.push_back("more" + std::to_string(random_.below(4)));
    else if (!n->outputs.empty())
      n->outputs.pop_back();
  }

  ModelDef& model_;
  Random random_;
};

}  // namespace

std::string mutated_model(std::string_view bytes, u64 seed) {
  ModelDef model;
  try {
    model = onnx::decode_model(bytes);
  } catch (const Error&) { return std::string(bytes); }
  Mutation m(model, seed);
  for (u64 n = 1 + seed % 3; n > 0; --n) m.change();
  try {
    return onnx::encode_model(model);
  } catch (const Error&) { return std::string(bytes); }
}

}  // namespace tn::fuzz
