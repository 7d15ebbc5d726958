#include "base/array.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/memory.h"
#include "tenon/error.h"

namespace tn {

// ---------------------------------------------------------------- Storage

// The object stands at the front of its own block, a cache line before the data, so a small array costs one block.
static constexpr size_t kHeader = kAlignment;

namespace {

/// Gives the whole block to shared_ptr's control block and object; what follows them is the data.
struct BlockAllocatorBase {
  size_t payload;
  std::byte** data;
};

template <class T>
struct BlockAllocator : BlockAllocatorBase {
  using value_type = T;
  explicit BlockAllocator(BlockAllocatorBase base) : BlockAllocatorBase(base) {}
  template <class U>
  BlockAllocator(const BlockAllocator<U>& other) : BlockAllocatorBase(other) {}
  static constexpr size_t kObject = (sizeof(size_t) + sizeof(T) + kHeader - 1) / kHeader * kHeader;

  T* allocate(size_t) {
    if (payload > std::numeric_limits<size_t>::max() - kObject - (size_t{4} << 20))
      fail("allocate", "expected fewer than 2^64 bytes, got " + std::to_string(payload));
    Block b = take_block(kObject + payload);
    *data = b.data + kObject;
    std::memcpy(b.data, &b.bytes, sizeof(size_t));
    return reinterpret_cast<T*>(b.data + sizeof(size_t));
  }
  void deallocate(T* p, size_t) {
    Block b{reinterpret_cast<std::byte*>(p) - sizeof(size_t), 0};
    std::memcpy(&b.bytes, b.data, sizeof(size_t));
    give_block(b);
  }
  bool operator==(const BlockAllocator&) const { return true; }
};

}  // namespace

struct Storage::Access : Storage {
  Access(std::byte* const* data, size_t bytes) : Storage(*data, bytes, true, nullptr) {}
  Access(void* data, size_t bytes, std::shared_ptr<void> owner)
      : Storage(static_cast<std::byte*>(data), bytes, false, std::move(owner)) {}
};

std::shared_ptr<Storage> Storage::allocate(size_t bytes) {
  std::byte* data = nullptr;
  return std::allocate_shared<Access>(BlockAllocator<Access>({bytes, &data}), &data, bytes);
}

std::shared_ptr<Storage> Storage::borrow(void* data, size_t bytes, std::shared_ptr<void> owner) {
  return std::make_shared<Access>(data, bytes, std::move(owner));
}

Storage::~Storage() = default;
size_t Storage::live_bytes() { return live_block_bytes(); }
size_t Storage::peak_bytes() { return peak_block_bytes(); }
void Storage::reset_peak() { reset_peak_block_bytes(); }

// ---------------------------------------------------------------- Array

static size_t bytes_of(DType dtype, const std::vector<i64>& shape) {
  i64 n = bytes(dtype);
  for (i64 extent : shape) {
    if (extent < 0) fail("array", "expected extents of at least 0, got " + std::to_string(extent));
    if (__builtin_mul_overflow(n, extent, &n))
      fail("array", "expected a size that fits 64 bits, got a shape whose product does not");
  }
  return static_cast<size_t>(n);
}

Array Array::empty(DType dtype, std::vector<i64> shape) {
  size_t n = bytes_of(dtype, shape);
  return {dtype, std::move(shape), Storage::allocate(n)};
}

Array Array::zeros(DType dtype, std::vector<i64> shape) {
  Array a = empty(dtype, std::move(shape));
  std::memset(a.bytes_begin(), 0, a.nbytes());
  return a;
}

i64 Array::size() const {
  i64 n = 1;
  for (i64 extent : shape) n *= extent;
  return n;
}

double Array::get(i64 i) const {
  switch (dtype) {
    case DType::f64: return data<double>()[i];
    case DType::f32: return data<float>()[i];
    case DType::f16: return half_to_float(data<u16>()[i]);
    case DType::bf16: return bfloat_to_float(data<u16>()[i]);
    default: return static_cast<double>(get_int(i));
  }
}

/// Truncation toward zero; NaN is 0 and what does not fit is the nearest integer of the dtype.
static i64 saturated(double value, DType d) {
  if (std::isnan(value)) return 0;
  int width = bits(d);
  double top = std::ldexp(1.0, is_signed(d) ? width - 1 : width), least = is_signed(d) ? -top : 0;
  if (value >= top) return static_cast<i64>((u64{1} << (is_signed(d) ? width - 1 : width)) - 1);
  return value <= least ? static_cast<i64>(least) : static_cast<i64>(value);
}

/// A double rounded once to 16 bits: through f32 rounded to odd, so that the second rounding sees what the first lost.
static float to_odd(double value) {
  auto f = static_cast<float>(value);
  if (static_cast<double>(f) == value || std::isnan(value) || std::isinf(f)) return f;
  u32 bits;
  std::memcpy(&bits, &f, sizeof(bits));
  if (!(bits & 1)) f = std::nextafterf(f, static_cast<double>(f) < value ? INFINITY : -INFINITY);
  return f;
}

void Array::set(i64 i, double value) const {
  switch (dtype) {
    case DType::f64: data<double>()[i] = value; return;
    case DType::f32: data<float>()[i] = static_cast<float>(value); return;
    case DType::f16: data<u16>()[i] = float_to_half(to_odd(value)); return;
    case DType::bf16: data<u16>()[i] = float_to_bfloat(to_odd(value)); return;
    case DType::boolean: data<u8>()[i] = value != 0; return;
    default: set_int(i, saturated(value, dtype)); return;
  }
}

i64 Array::get_int(i64 i) const {
  switch (dtype) {
    case DType::i64: return data<i64>()[i];
    case DType::i32: return data<i32>()[i];
    case DType::i8: return data<signed char>()[i];
    case DType::u32: return data<u32>()[i];
    case DType::u8: return data<u8>()[i];
    case DType::boolean: return data<u8>()[i] != 0;
    default: return saturated(get(i), DType::i64);
  }
}

void Array::set_int(i64 i, i64 value) const {
  switch (dtype) {
    case DType::i64: data<i64>()[i] = value; return;
    case DType::i32: data<i32>()[i] = static_cast<i32>(value); return;
    case DType::i8: data<signed char>()[i] = static_cast<signed char>(value); return;
    case DType::u32: data<u32>()[i] = static_cast<u32>(value); return;
    case DType::u8: data<u8>()[i] = static_cast<u8>(value); return;
    case DType::boolean: data<u8>()[i] = value != 0; return;
    case DType::f32: data<float>()[i] = static_cast<float>(value); return;
    default: set(i, static_cast<double>(value)); return;
  }
}

bool Array::same_bits(const Array& other) const {
  return dtype == other.dtype && shape == other.shape &&
         (nbytes() == 0 || !std::memcmp(bytes_begin(), other.bytes_begin(), nbytes()));
}

bool Array::operator==(const Array& other) const {
  return storage == other.storage && offset == other.offset && dtype == other.dtype && shape == other.shape;
}

}  // namespace tn
