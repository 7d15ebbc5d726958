#include <tenon/data.h>
#include <tenon/ops.h>

#include <algorithm>
#include <numeric>

#include "base/memory.h"
#include "files.h"

namespace tn::data {
namespace {

Tensor rows(i64 n) { return arange(n); }

/// The rows of the next `batches` batches.
std::vector<std::vector<long>> take(Loader& loader, i64 batches) {
  std::vector<std::vector<long>> found;
  for (i64 i = 0; i < batches; ++i) found.push_back(loader.next()[0].to_vector<long>());
  return found;
}

std::vector<long> joined(const std::vector<std::vector<long>>& batches) {
  std::vector<long> all_rows;
  for (const auto& b : batches) all_rows.insert(all_rows.end(), b.begin(), b.end());
  return all_rows;
}

std::vector<long> counted(i64 n) {
  std::vector<long> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

TEST(Loader, EachEpochHoldsEveryRowOnce) {
  Loader loader({rows(103)}, random::key(3), {.batch = 10});
  EXPECT_EQ(loader.batches_per_epoch(), 11);
  std::vector<long> before;
  for (int epoch = 0; epoch < 3; ++epoch) {
    auto batches = take(loader, 11);
    EXPECT_EQ(batches[10].size(), 3u);
    std::vector<long> order = joined(batches), sorted = order;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, counted(103));
    EXPECT_NE(order, counted(103));
    EXPECT_NE(order, before) << "each epoch has an order of its own";
    before = order;
  }
  EXPECT_EQ(loader.position(), 33);
}

TEST(Loader, DropLastAndInOrder) {
  Loader loader({rows(25)}, random::key(3), {.batch = 10, .shuffle = false, .drop_last = true});
  EXPECT_EQ(loader.batches_per_epoch(), 2);
  auto batches = take(loader, 3);
  EXPECT_EQ(joined({batches[0], batches[1]}), counted(20));
  EXPECT_EQ(batches[2], batches[0]);
}

TEST(Loader, TheKeyDecides) {
  auto order = [](u64 seed) {
    Loader loader({rows(64)}, random::key(seed), {.batch = 16});
    return take(loader, 8);
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

TEST(Loader, SeekContinuesAnUndisturbedRun) {
  Loader whole({rows(50)}, random::key(5), {.batch = 8});
  auto all_batches = take(whole, 20);
  for (i64 position : {0, 1, 6, 7, 13}) {
    Loader resumed({rows(50)}, random::key(5), {.batch = 8});
    take(resumed, 3);
    resumed.seek(position);
    EXPECT_EQ(resumed.position(), position);
    auto rest = take(resumed, 20 - position);
    EXPECT_TRUE(std::equal(rest.begin(), rest.end(), all_batches.begin() + position)) << position;
  }
}

TEST(Loader, ColumnsStayTogether) {
  Tensor x = rows(40), pictures = reshape(arange(40 * 6), {40, 2, 3});
  Loader loader({x, pictures, cast(x, DType::u8)}, random::key(1), {.batch = 7});
  for (int i = 0; i < 12; ++i) {
    Batch b = loader.next();
    ASSERT_EQ(b.size(), 3u);
    auto row = b[0].to_vector<long>(), first = b[1](all, 0, 0).to_vector<long>(), small = b[2].to_vector<long>();
    for (size_t k = 0; k < row.size(); ++k) {
      EXPECT_EQ(first[k], 6 * row[k]);
      EXPECT_EQ(small[k], row[k]);
    }
  }
}

TEST(Loader, MayBeLeftAtAnyMoment) {
  for (int taken : {0, 1, 5, 40}) {
    Loader loader({rows(1000)}, random::key(1), {.batch = 1});
    take(loader, taken);
    if (taken == 5) loader = Loader({rows(10)}, random::key(1), {.batch = 2});
  }
}

TEST(Loader, SeekForgetsAFailure) {
  Loader loader({rows(100000)}, random::key(1), {.batch = 50000});
  loader.next();
  set_block_limit(1);
  loader.seek(1);
  expect_error([&] { loader.next(); }, "the limit is 1 bytes");
  set_block_limit(0);
  loader.seek(0);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(loader.next()[0].size(), 50000);
}

TEST(Loader, Refuses) {
  Tensor key = random::key(0);
  expect_error([&] { Loader({}, key, {.batch = 1}); }, "at least one tensor");
  expect_error([&] { Loader({rows(3), rows(4)}, key, {.batch = 1}); }, "as many rows");
  expect_error([&] { Loader({Tensor(1.0)}, key, {.batch = 1}); }, "leading axis");
  expect_error([&] { Loader({rows(3)}, key, {.batch = 0}); }, "batch of at least 1");
  expect_error([&] { Loader({rows(3)}, key, {.batch = 4, .drop_last = true}); }, "at least one batch");
  expect_error([&] { Loader({rows(3)}, key, {.batch = 1}).seek(-1); }, "position of at least 0");
}

}  // namespace
}  // namespace tn::data
