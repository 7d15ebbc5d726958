#include "onnx/tensors.h"

#include <cstring>

#include "tenon/dim.h"
#include "tenon/error.h"

namespace tn::onnx {

namespace {

struct Pair {
  Element element;
  DType dtype;
};
constexpr Pair kPairs[] = {
    {Element::float32, DType::f32},     {Element::float64, DType::f64}, {Element::float16, DType::f16},
    {Element::bfloat16, DType::bf16},   {Element::int64, DType::i64},   {Element::int32, DType::i32},
    {Element::int8, DType::i8},         {Element::uint32, DType::u32},  {Element::uint8, DType::u8},
    {Element::boolean, DType::boolean},
};

}  // namespace

std::optional<DType> dtype_of(Element e) {
  for (const Pair& p : kPairs)
    if (p.element == e) return p.dtype;
  return std::nullopt;
}

Element element_of(DType d) {
  for (const Pair& p : kPairs)
    if (p.dtype == d) return p.element;
  return Element::undefined;
}

std::string_view element_name(Element e) {
  static constexpr std::string_view kNames[] = {
      "undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
      "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
      "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
      "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};
  auto i = static_cast<size_t>(e);
  return i < std::size(kNames) ? kNames[i] : "an unknown element type";
}

Array array_of(const TensorValue& t) {
  std::string who = "tensor '" + t.name + "': ";
  auto dtype = dtype_of(t.element);
  if (!dtype)
    fail("onnx", who +
                     "expected an element type of float, double, float16, bfloat16, int64, int32, int8, uint32, uint8 "
                     "or bool, got " +
                     std::string(element_name(t.element)));
  i64 count = 1;
  for (i64 d : t.dims)
    if (d < 0 || !Dim::holds(d) || __builtin_mul_overflow(count, d, &count))
      fail("onnx", who + "expected extents whose product fits 63 bits, got " + std::to_string(d));
  u64 size = 0;
  if (__builtin_mul_overflow(static_cast<u64>(count), static_cast<u64>(bytes(*dtype)), &size) || size != t.raw.size())
    fail("onnx", who + "expected " + std::to_string(count) + " elements of " + std::string(name(*dtype)) + ", got " +
                     std::to_string(t.raw.size()) + " bytes; the file is damaged");
  Array a = Array::empty(*dtype, t.dims);
  if (size) std::memcpy(a.bytes_begin(), t.raw.data(), size);
  if (*dtype == DType::boolean)
    for (i64 i = 0; i < count; ++i) a.data<u8>()[i] = a.data<u8>()[i] != 0;
  return a;
}

TensorValue tensor_of(const Array& a, std::string_view name) {
  TensorValue t;
  t.name = name;
  t.element = element_of(a.dtype);
  t.dims = a.shape;
  t.raw.assign(reinterpret_cast<const char*>(a.bytes_begin()), a.nbytes());
  return t;
}

}  // namespace tn::onnx
