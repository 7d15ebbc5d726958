#include "base/array.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "base/memory.h"
#include "base/sanitizer.h"
#include "tenon/error.h"

namespace tn {

TEST(Half, EveryValueComesBack) {
  for (u32 h = 0; h < 65536; ++h) {
    float f = half_to_float(static_cast<u16>(h));
    u16 back = float_to_half(f);
    if (std::isnan(f))
      EXPECT_TRUE(std::isnan(half_to_float(back)));
    else
      EXPECT_EQ(back, h);
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(float_to_half(1.0f + 0x1p-11f), 0x3C00);      // halfway, to even below
  EXPECT_EQ(float_to_half(1.0f + 3 * 0x1p-11f), 0x3C02);  // halfway, to even above
  EXPECT_EQ(float_to_half(1.0f + 0x1p-11f + 0x1p-20f), 0x3C01);
  EXPECT_EQ(float_to_half(65519.0f), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_half(-0x1p-24f), 0x8001);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);
  EXPECT_EQ(float_to_half(-0.0f), 0x8000);
}

TEST(Bfloat, EveryValueComesBackAndNanStaysNan) {
  for (u32 h = 0; h < 65536; ++h) {
    float f = bfloat_to_float(static_cast<u16>(h));
    if (std::isnan(f))
      EXPECT_TRUE(std::isnan(bfloat_to_float(float_to_bfloat(f))));
    else
      EXPECT_EQ(float_to_bfloat(f), h);
  }
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-8f), 0x3F80);
  EXPECT_EQ(float_to_bfloat(std::bit_cast<float>(0x7F800001u)) & 0x7FFF, 0x7FC0);
}

TEST(Array, SetRoundsOnce) {
  Array a = Array::empty(DType::f16, {1});
  a.set(0, 1.0 + 0x1p-11 + 0x1p-40);  // by way of a nearest f32 this would be a tie and go down
  EXPECT_EQ(a.get(0), 1.0 + 0x1p-10);
}

TEST(Array, IntegersWrapAndFloatsTruncateAndSaturate) {
  Array a = Array::zeros(DType::u8, {2});
  a.set_int(0, 300);
  a.set(1, -1.7);
  EXPECT_EQ(a.get_int(0), 44);
  EXPECT_EQ(a.get_int(1), 0);
  a.set(1, INFINITY);
  EXPECT_EQ(a.get_int(1), 255);
  Array b = Array::zeros(DType::i64, {1});
  b.set(0, NAN);
  EXPECT_EQ(b.get_int(0), 0);
  b.set(0, 0x1p63);
  EXPECT_EQ(b.get_int(0), std::numeric_limits<i64>::max());
  b.set(0, -INFINITY);
  EXPECT_EQ(b.get_int(0), std::numeric_limits<i64>::min());
}

TEST(Storage, AlignedCountedAndRecycled) {
  size_t before = Storage::live_bytes();
  std::byte* first;
  {
    auto s = Storage::allocate(size_t{3} << 20);
    first = s->data();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % kAlignment, 0u);
    EXPECT_GE(Storage::live_bytes() - before, size_t{3} << 20);
  }
  EXPECT_EQ(Storage::live_bytes(), before);
  EXPECT_EQ(Storage::allocate(size_t{3} << 20)->data(), first);
  trim_block_pool();
  EXPECT_EQ(pooled_block_bytes(), 0u);
}

/// What is rounded to a mapped block's size is mapped too, for it is given back as one.
TEST(Storage, TheLargestSmallBlocks) {
  constexpr size_t kMapped = size_t{1} << 20;
  for (size_t bytes :
       {kMapped - kAlignment - 1, kMapped - kAlignment, kMapped - kAlignment + 1, kMapped - 1, kMapped}) {
    trim_block_pool();
    Block b = take_block(bytes);
    bool mapped = bytes > kMapped - kAlignment;
    bool page = reinterpret_cast<std::uintptr_t>(b.data) % 4096 == 0;
    EXPECT_TRUE(page == mapped || (page && kSanitized)) << bytes;  // their malloc aligns as it likes
    give_block(b);
    EXPECT_EQ(pooled_block_bytes(), mapped ? kMapped : 0) << bytes;
  }
}

TEST(Storage, FreedByAnotherThread) {
  size_t before = Storage::live_bytes();
  auto s = Storage::allocate(100), t = Storage::allocate(size_t{2} << 20);
  std::thread([s = std::move(s), t = std::move(t)] {}).join();
  EXPECT_EQ(Storage::live_bytes(), before);
}

TEST(Storage, RefusalsNameTheSize) {
  EXPECT_THROW(Storage::allocate(~size_t{0}), Error);
  EXPECT_THROW(Array::empty(DType::f32, {i64{1} << 40, i64{1} << 40}), Error);
  set_block_limit(Storage::live_bytes() + 1000);
  try {
    Storage::allocate(5000000);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find("5000"), std::string::npos); }
  set_block_limit(0);
}

TEST(Storage, BorrowKeepsTheOwner) {
  auto owner = std::make_shared<std::vector<float>>(4, 2.0f);
  std::weak_ptr<std::vector<float>> watch = owner;
  auto s = Storage::borrow(owner->data(), 16, owner);
  owner.reset();
  EXPECT_FALSE(watch.expired());
  s.reset();
  EXPECT_TRUE(watch.expired());
}

}  // namespace tn
