// Storage: a reference-counted block of aligned memory. Array: a dense row-major array of concrete shape over storage;
// what graphs take and give at run time.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tenon/dtype.h"

namespace tn {

inline constexpr size_t kAlignment = 64;

/// Aligned memory, owned by it or borrowed from the user; large blocks are backed by huge pages where the system has
/// them and are recycled. `shared_ptr` use counts decide donation.
class Storage {
 public:
  /// Uninitialised; throws Error naming the size when memory is refused.
  static std::shared_ptr<Storage> allocate(size_t bytes);
  /// Memory of someone else, kept alive by `owner` (may be empty).
  static std::shared_ptr<Storage> borrow(void* data, size_t bytes, std::shared_ptr<void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// False for borrowed memory, which must not be written.
  bool owned() const { return owned_; }
  /// Bytes of all live owned storages, and the most there were.
  static size_t live_bytes();
  static size_t peak_bytes();
  static void reset_peak();

 private:
  struct Access;
  Storage(std::byte* data, size_t bytes, bool owned, std::shared_ptr<void> owner)
      : data_(data), bytes_(bytes), owned_(owned), owner_(std::move(owner)) {}
  std::byte* data_;
  size_t bytes_;
  bool owned_;
  std::shared_ptr<void> owner_;
};
using StoragePtr = std::shared_ptr<Storage>;

struct Array {
  DType dtype = DType::f32;
  std::vector<i64> shape;
  StoragePtr storage;
  size_t offset = 0;  // in bytes

  static Array empty(DType dtype, std::vector<i64> shape);
  static Array zeros(DType dtype, std::vector<i64> shape);
  i64 size() const;
  size_t nbytes() const { return static_cast<size_t>(size()) * static_cast<size_t>(bytes(dtype)); }
  std::byte* bytes_begin() const { return storage->data() + offset; }
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(bytes_begin());
  }
  /// Element i (row-major) as a double, and back rounded to the dtype as a cast does: for tests, printing and folding.
  double get(i64 i) const;
  void set(i64 i, double value) const;
  i64 get_int(i64 i) const;
  void set_int(i64 i, i64 value) const;
  /// Same dtype, shape and bytes.
  bool same_bits(const Array& other) const;
  /// By identity of storage and offset (cheap); contents are compared by same_bits.
  bool operator==(const Array& other) const;
};

/// IEEE binary16 and bfloat16, round to nearest even.
float half_to_float(u16 h);
u16 float_to_half(float f);
float bfloat_to_float(u16 h);
u16 float_to_bfloat(float f);

}  // namespace tn
