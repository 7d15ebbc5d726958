// The whole path on real pictures: train, save, read back, extend by a plugin, fine-tune, optimise into a plan, and
// answer from the plan file in a process of its own.
//
//   fashion_mnist train DATA PLUGIN OUT       trains, exports, imports, extends, fine-tunes, builds OUT/model.plan
//   fashion_mnist classify DATA PLUGIN OUT    maps OUT/model.plan and classifies the test pictures
//
// With FASHION_EPOCHS=0.1 in the environment it trains for a tenth of an epoch, and fine-tunes for ten steps.
#include <tenon/checkpoint.h>
#include <tenon/data.h>
#include <tenon/engine.h>
#include <tenon/jit.h>
#include <tenon/nn.h>
#include <tenon/optim.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "net.h"
#include "page.h"

using tn::Tensor;
namespace nn = tn::nn;
namespace optim = tn::optim;

struct Pictures {
  Tensor images, labels;  // u8 [n, 28, 28], u8 [n]
  Pictures(const std::string& folder, const std::string& part)
      : images(tn::data::load_idx(folder + "/" + part + "-images-idx3-ubyte.gz")),
        labels(tn::data::load_idx(folder + "/" + part + "-labels-idx1-ubyte.gz")) {}
};

/// u8 [n, 28, 28] -> f32 [n, 1, 28, 28] in [0, 1].
Tensor to_input(const Tensor& images) { return expand_dims(cast(images, tn::DType::f32) / 255.0, 1); }
Tensor to_labels(const Tensor& labels) { return cast(labels, tn::DType::i64); }

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Fraction of the pictures that `predict` (images -> logits) gets right, 250 at a time.
template <class Predict>
double accuracy(const Pictures& set, Predict predict) {
  double right = 0;
  tn::i64 n = set.images.size(0);
  for (tn::i64 at = 0; at < n; at += 250) {
    Tensor logits = predict(to_input(set.images(tn::slice(at, at + 250))));
    right += sum(cast(argmax(logits, {.axis = -1}) == to_labels(set.labels(tn::slice(at, at + 250))), tn::DType::f32))
                 .item();
  }
  return right / static_cast<double>(n);
}

/// Trains with Adam and a one-cycle schedule; returns the seconds it took. After every epoch all of the run's state
/// goes into the file `saved`, from which a run that was interrupted goes on.
double train(Net& net, const Pictures& set, const Pictures& test, double epochs, const std::string& saved) {
  auto start = std::chrono::steady_clock::now();
  tn::data::Loader loader({set.images, set.labels}, tn::random::key(1), {.batch = 128, .drop_last = true});
  tn::i64 per_epoch = loader.batches_per_epoch(), steps = std::lround(static_cast<double>(per_epoch) * epochs);
  optim::OneCycleSchedule schedule{.peak = 0.005, .steps = steps};
  optim::Adam adam = optim::adam(net);
  auto step = tn::jit([](Net& n, optim::Adam& a, const Tensor& images, const Tensor& labels) {
    auto loss_of = [](Net& m, const Tensor& x, const Tensor& y) { return nn::cross_entropy_loss(m.train(x), y); };
    auto [loss, gradients] = tn::value_and_grad(loss_of)(n, to_input(images), to_labels(labels));
    a.update(n, gradients);
    return loss;
  });
  auto predict = tn::jit([](const Net& n, const Tensor& x) { return n(x); });
  tn::data::Progress progress("training", steps);
  tn::i64 first = tn::load_checkpoint(saved, net, adam).value_or(0);
  if (first) std::cout << "going on at step " << first << " of " << steps << std::endl;
  loader.seek(first);
  Tensor loss;
  for (tn::i64 i = first; i < steps; ++i) {
    tn::data::Batch batch = loader.next();
    adam.lr = Tensor(schedule(i), tn::DType::f32);
    loss = step(net, adam, batch[0], batch[1]);
    if (i % 20 == 0) progress.update(i, "loss " + std::to_string(loss.item()));
    if ((i + 1) % per_epoch) continue;
    tn::save_checkpoint(saved, i + 1, net, adam);
    std::cout << "epoch " << (i + 1) / per_epoch << ": loss " << loss.item() << ", test accuracy "
              << accuracy(test, [&](const Tensor& x) { return predict(std::as_const(net), x); }) << std::endl;
  }
  return seconds_since(start);
}

/// Trains the network's weights (all but the batch norms' averages) with plain SGD for some steps.
tn::Network fine_tune(const tn::Network& network, const Pictures& set, int steps) {
  std::vector<Tensor> weights;
  std::vector<bool> trained;
  for (const auto& [name, t] : network.weights()) {
    weights.push_back(t);
    trained.push_back(name.find("running_") == name.npos);
  }
  tn::data::Loader loader({set.images, set.labels}, tn::random::key(2), {.batch = 128, .drop_last = true});
  tn::data::Progress progress("fine-tuning", steps);
  for (int i = 0; i < steps; ++i) {
    tn::data::Batch batch = loader.next();
    Tensor x = to_input(batch[0]), y = to_labels(batch[1]);
    auto loss_of = [&](const std::vector<Tensor>& w) {
      return nn::cross_entropy_loss(network.apply(w, std::vector{x})[0], y);
    };
    auto [loss, gradients] = tn::value_and_grad(loss_of)(weights);
    for (size_t k = 0; k < weights.size(); ++k)
      if (trained[k]) weights[k] = weights[k] - gradients[k] * 1e-3;
    eval(weights);
    progress.update(i + 1);
  }
  return network.with_weights(weights);
}

int train_command(const std::string& data, const std::string& plugin, const std::string& out) {
  const char* quick = std::getenv("FASHION_EPOCHS");
  Pictures set(data, "train"), test(data, "t10k");
  Net net = Net::make(nn::Keys(0));
  std::cout << "training " << tn::parameter_count(net) << " parameters on " << set.images.size(0) << " pictures"
            << std::endl;
  double train_seconds = train(net, set, test, quick ? std::atof(quick) : 3, out + "/run.safetensors");
  double accuracy_trained = accuracy(test, [&](const Tensor& x) { return net(x); });
  std::cout << "trained in " << train_seconds << " s: test accuracy " << accuracy_trained << std::endl;

  tn::save(out + "/model.safetensors", net);
  tn::Dim batch = tn::Dim::symbol("batch");
  tn::NamedType input{"image", tn::Type::tensor(tn::DType::f32, {batch, 1, 28, 28})};
  export_onnx(tn::trace_network(net, {"logits"}, input), out + "/model.onnx");
  std::filesystem::remove(out + "/run.safetensors");  // the next run starts anew
  std::cout << "exported; importing, with the plugin's op for the last ReLU, and fine-tuning" << std::endl;
  tn::load_plugin(plugin);
  tn::Network network = tn::import_onnx(out + "/model.onnx").replace_last("relu", "swoosh");
  network = fine_tune(network, set, quick ? 10 : 100);
  export_onnx(network, out + "/tuned.onnx");
  std::ofstream(out + "/graph.svg") << network.svg();

  auto start = std::chrono::steady_clock::now();
  tn::engine::Plan plan = tn::engine::build(network, {.profiles = {{"batch", 1, 128, 256}}});
  plan.save(out + "/model.plan");
  std::cout << "plan built and saved in " << seconds_since(start) << " s" << std::endl;
  std::ofstream(out + "/trained.txt") << accuracy_trained << " " << train_seconds << "\n";
  return 0;
}

int classify_command(const std::string& data, const std::string& plugin, const std::string& out) {
  tn::load_plugin(plugin);
  auto start = std::chrono::steady_clock::now();
  tn::engine::Plan plan = tn::engine::Plan::load(out + "/model.plan");
  double load_ms = seconds_since(start) * 1e3;
  tn::engine::Context context(plan);
  Pictures test(data, "t10k");
  double right = accuracy(test, [&](const Tensor& x) { return context.run({x})[0]; });
  // A few for people to look at, and for a comparison with the reference.
  Tensor images = test.images(tn::slice(0, 64)).eval(), input = to_input(images);
  std::filesystem::create_directories(out + "/sample");
  save_npy(out + "/sample/image.npy", input);
  auto labels = test.labels(tn::slice(0, 64)).to_vector<long>(),
       guesses = argmax(context.run({input})[0], {.axis = -1}).to_vector<long>();
  write_page(out + "/page.html", images.data<tn::u8>(), labels, guesses);
  std::ofstream(out + "/plan.txt") << right << " " << load_ms << " " << std::filesystem::file_size(out + "/model.plan")
                                   << "\n";
  std::cout << "plan: test accuracy " << right << ", loaded in " << load_ms << " ms" << std::endl;
  return 0;
}

int main(int argc, char** argv) try {
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 4 && args[0] == "train") return train_command(args[1], args[2], args[3]);
  if (args.size() == 4 && args[0] == "classify") return classify_command(args[1], args[2], args[3]);
  std::cerr << "usage: fashion_mnist train|classify DATA PLUGIN OUT\n";
  return 1;
} catch (const std::exception& e) {
  std::cerr << "fashion_mnist: " << e.what() << "\n";
  return 1;
}
