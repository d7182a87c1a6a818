// Random networks at each instruction set against the portable one; and each the same, bit for bit, whatever the
// threads, whatever lay in its memory before. Arguments: number of networks, seed of the first.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "../src/executor.h"
#include "../src/processor.h"
#include "random_program.h"

namespace u2forge::test {
namespace {

const char* name_of(Precision p) {
    return p == Precision::float32 ? "float32" : p == Precision::bfloat16 ? "bfloat16" : "int16";
}

[[noreturn]] void fail(const std::string& what) {
    std::fflush(stdout);
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    std::exit(1);
}

void run(Session& session, const std::vector<ExactBytes>& inputs, const std::vector<ExactBytes>& outputs, int images) {
    std::vector<const void*> in;
    std::vector<void*> out;
    for (const ExactBytes& a : inputs) in.push_back(a.data());
    for (const ExactBytes& a : outputs) out.push_back(a.data());
    session.run(in, out, images, nullptr);
}

const float* floats(const ExactBytes& a) { return reinterpret_cast<const float*>(a.data()); }
size_t numbers(const ExactBytes& a) { return a.size() / sizeof(float); }

// Larger than anything that a correct kernel computes other numbers from.
double magnitude(const ExactBytes& a) {
    double largest = 0;
    for (size_t i = 0; i < numbers(a); ++i) largest = std::max(largest, std::fabs(static_cast<double>(floats(a)[i])));
    return largest;
}

// Of the largest differences that were allowed: the share that was seen, by precision.
std::map<std::string, double> worst;

void compare(const Network& network, const std::vector<ExactBytes>& expected, const std::vector<ExactBytes>& found,
             const std::string& where) {
    const Precision precision = network.encoded.precision;
    double all = 0, planar = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double m = magnitude(expected[i]);
        all = std::max(all, m);
        if (!network.levels[i]) planar = std::max(planar, m);
    }
    for (size_t i = 0; i < expected.size(); ++i) {
        const double slack = network.slack[i];
        double allowed;
        if (precision == Precision::int16) allowed = network.levels[i] ? slack : slack + 2e-5 * (planar + 1);
        else allowed = (precision == Precision::float32 ? (1 + slack) * 1e-5 : 1e-5 + slack * 1e-2) * (all + 1);
        for (size_t k = 0; k < numbers(expected[i]); ++k) {
            const double difference = std::fabs(static_cast<double>(floats(found[i])[k]) - floats(expected[i])[k]);
            if (!(difference <= allowed))
                fail(where + ": output " + std::to_string(i) + ", number " + std::to_string(k) + ": " +
                     std::to_string(floats(found[i])[k]) + ", not " + std::to_string(floats(expected[i])[k]) + " ± " +
                     std::to_string(allowed));
            if (allowed > 0) {
                double& w = worst[name_of(precision)];
                w = std::max(w, difference / allowed);
            }
        }
    }
}

// The first `images` pictures of both.
void same(const std::vector<ExactBytes>& expected, const std::vector<ExactBytes>& found, const std::string& where) {
    for (size_t i = 0; i < expected.size(); ++i)
        if (std::memcmp(expected[i].data(), found[i].data(), std::min(expected[i].size(), found[i].size())) != 0) {
            size_t k = 0;
            while (std::memcmp(floats(expected[i]) + k, floats(found[i]) + k, 4) == 0) ++k;
            fail(where + ": output " + std::to_string(i) + ", number " + std::to_string(k) + ": " +
                 std::to_string(floats(found[i])[k]) + ", not again " + std::to_string(floats(expected[i])[k]));
        }
}

// Kernels whose sums saturate; others flush them, and a saturated sum is not theirs.
bool saturates(const std::string& level) { return level == "portable" || level.find("vnni") != std::string::npos; }

void check(const Network& network, bool saturating, Random& random, const std::string& label) {
    const ExactBytes weights = exact_copy(network.encoded.weights);
    const Encoded& e = network.encoded;
    const auto program =
        std::make_shared<const Program>(e.precision, e.buffers, e.steps, weights.data(), weights.size());
    const int images = within(random, 1, 3);
    const auto inputs = random_inputs(*program, images, random);
    auto reference = empty_outputs(*program, images);
    Session portable(program, kernels_of_level("portable"), 1);
    run(portable, inputs, reference, images);
    for (const std::string& level : usable_levels()) {
        const KernelsOf kernels = kernels_of_level(level);
        if (!kernels(e.precision) || (saturating && !saturates(level))) continue;
        std::vector<ExactBytes> first;
        // The portable one is slow, and its first run is the reference.
        if (level == "portable") first = std::move(reference);
        for (int threads = first.empty() ? 1 : 3; threads <= 3; ++threads) {
            const std::string where = label + ", " + level + ", " + std::to_string(threads) + " threads";
            Session session(program, kernels, threads);
            auto outputs = empty_outputs(*program, images);
            run(session, inputs, outputs, images);
            if (first.empty()) {
                compare(network, reference, outputs, where);
                first = std::move(outputs);
            } else {
                same(first, outputs, where);
            }
#ifndef U2FORGE_GUARDED
            session.poison();
#endif
            outputs = empty_outputs(*program, images);
            run(session, inputs, outputs, images);
            same(first, outputs, where + ", poisoned");
            outputs = empty_outputs(*program, 1);
            run(session, inputs, outputs, 1);
            same(outputs, first, where + ", one picture");
        }
    }
}

}  // namespace
}  // namespace u2forge::test

int main(int argc, char** argv) {
    using namespace u2forge::test;
    using u2forge::Precision;
    const int count = argc > 1 ? std::atoi(argv[1]) : 60;
    const int begin = argc > 2 ? std::atoi(argv[2]) : 1;
    int convolutions = 0, others = 0;
    for (int seed = begin; seed < begin + count; ++seed) {
        Random random(seed);
        constexpr Precision precisions[] = {Precision::float32, Precision::bfloat16, Precision::int16};
        const Precision precision = precisions[seed % 3];
        Options options;
        options.steps = within(random, 1, 10);
        options.saturating = precision == Precision::int16 && chance(random, 0.2);
        if (chance(random, 0.1)) options.most_work = 30000;
        const Network network = random_network(precision, options, random);
        check(network, options.saturating, random, "seed " + std::to_string(seed) + ", " + name_of(precision));
        convolutions += network.convolutions;
        others += network.other_steps;
    }
    std::printf("%d networks of %d convolutions and %d other steps; levels:", count, convolutions, others);
    for (const std::string& level : u2forge::usable_levels()) std::printf(" %s", level.c_str());
    std::printf("\n");
    for (const auto& [precision, share] : worst)
        std::printf("%s: the largest difference is %.3g of what is allowed\n", precision.c_str(), share);
    return 0;
}
