// What this process may use of the machine: free memory and cores, by the system and by its control groups (cgroup v1 and v2).
#pragma once
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace kedge {

// The folders of this process' group and of every group above it: a limit of any of them binds. `controller` is a v1 name ("memory"); under
// v2 all controllers share one tree. `root` stands before every path, for tests. Containers show their own group as the root of the mount,
// so the path of /proc/self/cgroup may not exist below it: then the mount itself is the group.
inline std::vector<std::string> cgroup_folders(const std::string& root, const std::string& controller, bool v2) {
  std::string group, line;
  std::ifstream groups(root + "/proc/self/cgroup");
  while (std::getline(groups, line)) {  // "4:memory,hugetlb:/path"; v2: "0::/path"
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (v2 ? names == ",," : names.find("," + controller + ",") != std::string::npos) group = line.substr(second + 1);
  }
  if (group.empty()) return {};
  std::ifstream mounts(root + "/proc/self/mountinfo");
  while (std::getline(mounts, line)) {  // "id parent dev root mountpoint options ... - type source super-options"
    size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line), right(line.substr(dash + 3));
    std::string id, parent, device, mount_root, point, type, source, options;
    left >> id >> parent >> device >> mount_root >> point;
    right >> type >> source >> options;
    if (v2 ? type != "cgroup2" : type != "cgroup" || ("," + options + ",").find("," + controller + ",") == std::string::npos) continue;
    if (mount_root != "/" && group.compare(0, mount_root.size(), mount_root) == 0) group.erase(0, mount_root.size());
    if (group.empty() || group[0] != '/' || group.find("/..") != std::string::npos) group.clear();
    while (!group.empty() && group.back() == '/') group.pop_back();
    std::vector<std::string> folders;
    for (;;) {
      folders.push_back(root + point + group);
      if (group.empty()) return folders;
      group.erase(group.find_last_of('/'));
    }
  }
  return {};
}

// The number in a file, -1 where there is none ("max" is none).
inline int64_t file_number(const std::string& path) {
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : -1;
}

// The number after `key` in a file of "key value" lines, -1 where there is none.
inline int64_t file_field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t value;
    if (words >> name >> value && name == key) return value;
  }
  return -1;
}

// Bytes that this process could still take without pushing anything out: the least of MemAvailable and, for each group, its limit less what
// it uses (page cache that can be dropped is no use).
inline int64_t free_memory(const std::string& root = "") {
  int64_t available = file_field(root + "/proc/meminfo", "MemAvailable:");
  int64_t least = available >= 0 ? available * 1024 : (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
  for (bool v2 : {false, true}) {
    for (const std::string& folder : cgroup_folders(root, "memory", v2)) {
      int64_t limit = file_number(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      int64_t used = file_number(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes"));
      if (limit < 0 || used < 0) continue;
      int64_t dropable = file_field(folder + "/memory.stat", v2 ? "inactive_file" : "total_inactive_file");
      least = std::min(least, limit - std::max<int64_t>(0, used - std::max<int64_t>(0, dropable)));
    }
  }
  return std::max<int64_t>(0, least);
}

// Cores by affinity and by the groups' quotas (rounded up), at least 1.
inline int usable_cores(const std::string& root = "") {
  int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
  for (bool v2 : {false, true}) {
    for (const std::string& folder : cgroup_folders(root, "cpu", v2)) {
      int64_t quota = -1, period = -1;
      if (v2) {
        std::ifstream file(folder + "/cpu.max");  // "200000 100000" or "max 100000"
        if (!(file >> quota >> period)) continue;
      } else {
        quota = file_number(folder + "/cpu.cfs_quota_us");
        period = file_number(folder + "/cpu.cfs_period_us");
      }
      if (quota > 0 && period > 0) cores = std::min(cores, (quota + period - 1) / period);
    }
  }
  return (int)std::max<int64_t>(1, cores);
}

}  // namespace kedge
