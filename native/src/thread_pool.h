// A few threads that share the items of one job at a time, with the thread that asks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace u2forge {

class ThreadPool {
   public:
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(helpers_.size()) + 1; }

    // work may not throw. Calls work(item, worker) for each item, worker in [0, threads()), and returns when all are done. Nobody waits for a
    // helper that sleeps: it takes what is left when it comes.
    template <class Work> void run(int items, const Work& work) {
        if (helpers_.empty() || items <= 1) {
            for (int item = 0; item < items; ++item) work(item, 0);
            return;
        }
        for (int first = 0; first < items; first += most_items) {
            const auto some = [&](int item, int worker) { work(first + item, worker); };
            using Some = decltype(some);
            run_shared(
                items - first < most_items ? items - first : most_items,
                [](const void* w, int item, int worker) { (*static_cast<const std::remove_reference_t<Some>*>(w))(item, worker); },
                &some);
        }
    }

   private:
    // Of one job: counted in 20 bits, together with the helpers that ask once too often.
    static constexpr int most_items = 1 << 19;

    using Call = void (*)(const void*, int, int);

    void run_shared(int items, Call call, const void* work);
    void help(int worker);
    void take_items(int worker);
    void end();

    std::vector<std::thread> helpers_;
    Call call_ = nullptr;
    const void* work_ = nullptr;
    // Of the job in hand: its number (24 bits), its items (20) and the next one to be taken (20), in one word, so that
    // who comes late never takes an item by another job's count.
    alignas(64) std::atomic<uint64_t> ticket_{0};
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<int> asleep_{0};
    std::atomic<bool> ending_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace u2forge
