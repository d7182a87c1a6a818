// The thread pool: every item exactly once, whoever sleeps or comes late; pools that come and go; no work while idle.
// Argument: number of jobs of each test.
#include "../src/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace u2forge {
namespace {

using Random = std::mt19937;

void need(bool condition, const char* what) {
    if (condition) return;
    std::fflush(stdout);
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::exit(1);
}

// One job: what it did is checked before the next one, as results are.
void run_and_check(ThreadPool& pool, int items, std::vector<int>& done, std::vector<std::atomic<bool>>& busy) {
    done.assign(items, 0);
    pool.run(items, [&](int item, int worker) {
        need(item >= 0 && item < items, "no such item");
        need(worker >= 0 && worker < pool.threads(), "no such worker");
        // A worker's own memory: nobody else has its number meanwhile.
        need(!busy[worker].exchange(true), "two at a time as the same worker");
        ++done[item];
        busy[worker].store(false);
    });
    for (const int times : done) need(times == 1, "an item not done exactly once");
}

// Many small jobs; now and then a wait, in which the helpers fall asleep, or are just about to.
void many_jobs(int threads, int jobs, int seed) {
    ThreadPool pool(threads);
    need(pool.threads() == threads, "number of threads");
    Random random(seed);
    std::vector<int> done;
    std::vector<std::atomic<bool>> busy(threads);
    for (int job = 0; job < jobs; ++job) {
        run_and_check(pool, static_cast<int>(random() % 40), done, busy);
        if (random() % 500 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
        if (random() % 100 == 0)
            for (volatile int spin = 0; spin < static_cast<int>(random() % 20000);) spin = spin + 1;
    }
}

void several_pools(int jobs) {
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([caller, jobs] { many_jobs(1 + caller, jobs / 4, 100 + caller); });
    for (auto& caller : callers) caller.join();
}

// One pool, called from several threads in turn, as a session is under its lock.
void several_callers(int jobs) {
    ThreadPool pool(3);
    std::mutex turn;
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&, caller] {
            Random random(caller);
            std::vector<int> done;
            std::vector<std::atomic<bool>> busy(pool.threads());
            for (int job = 0; job < jobs / 3; ++job) {
                std::lock_guard<std::mutex> lock(turn);
                run_and_check(pool, static_cast<int>(random() % 12), done, busy);
            }
        });
    for (auto& caller : callers) caller.join();
}

void comings_and_goings(int pools) {
    Random random(5);
    for (int i = 0; i < pools; ++i) {
        const int threads = 1 + static_cast<int>(random() % 5);
        ThreadPool pool(threads);
        std::vector<int> done;
        std::vector<std::atomic<bool>> busy(threads);
        // Destroyed at once; after a job; asleep; about to fall asleep.
        if (i % 4 > 0) run_and_check(pool, 10, done, busy);
        if (i % 4 > 1) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
    }
}

// More items than the bits of a job count: several jobs.
void more_items_than_bits() {
    ThreadPool pool(3);
    std::vector<int> done;
    std::vector<std::atomic<bool>> busy(3);
    for (const int items : {(1 << 19) - 1, (1 << 20) - 2, (1 << 20) - 1, 1 << 20, (1 << 21) + 3, 7})
        run_and_check(pool, items, done, busy);
}

void idle() {
    ThreadPool pool(4);
    std::vector<int> done;
    std::vector<std::atomic<bool>> busy(4);
    run_and_check(pool, 100, done, busy);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    // Of the whole process.
    const std::clock_t start = std::clock();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("idle: %.1f ms of processor time in 500 ms\n", 1000 * seconds);
#ifndef _WIN32  // there the clock is the wall's
    need(seconds < 0.05, "an idle pool works");
#endif
}

}  // namespace
}  // namespace u2forge

int main(int argc, char** argv) {
    using namespace u2forge;
    const int jobs = argc > 1 ? std::atoi(argv[1]) : 20000;
    for (int threads = 1; threads <= 5; ++threads) many_jobs(threads, jobs, threads);
    several_pools(jobs);
    several_callers(jobs);
    comings_and_goings(jobs / 50);
    more_items_than_bits();
    idle();
    std::printf("thread pool: %d jobs a test\n", jobs);
    return 0;
}
