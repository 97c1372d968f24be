package host

import "homeostat/internal/signal"

// metric is one metric that the host source writes: what the metadata tells, and the names of its own labels.
type metric struct {
	signal.Meta
	labels []string
}

// define adds a metric to the metadata.
func define(name, kind, unit, help string, labels ...string) *metric {
	return &metric{signal.Meta{Name: name, Type: kind, Unit: unit, Help: help}, labels}
}

// The metrics, named by semantic conventions and translated: unit and _total are in the name.
var (
	cpuUtilization = define("system_cpu_utilization_ratio", "gauge", "ratio", "Share of all cores' time in a mode since the reading before.", "cpu_mode")
	cpuTime        = define("system_cpu_time_seconds_total", "counter", "seconds", "Time of all cores in a mode.", "cpu_mode")
	cpuLogical     = define("system_cpu_logical_count", "gauge", "", "Logical cores.")
	load1          = define("system_cpu_load_average_1m", "gauge", "", "Threads running or waiting, mean of a minute.")
	load5          = define("system_cpu_load_average_5m", "gauge", "", "Threads running or waiting, mean of five minutes.")
	load15         = define("system_cpu_load_average_15m", "gauge", "", "Threads running or waiting, mean of fifteen minutes.")

	memoryUtilization = define("system_memory_utilization_ratio", "gauge", "ratio", "Share of memory in a state; used is what can't be had without swapping.", "system_memory_state")
	memoryUsage       = define("system_memory_usage_bytes", "gauge", "bytes", "Memory in a state; used is what can't be had without swapping.", "system_memory_state")
	memoryLimit       = define("system_memory_limit_bytes", "gauge", "bytes", "Memory of the machine.")

	pagingUtilization = define("system_paging_utilization_ratio", "gauge", "ratio", "Share of swap in a state.", "system_paging_state")
	pagingUsage       = define("system_paging_usage_bytes", "gauge", "bytes", "Swap in a state.", "system_paging_state")
	pagingIO          = define("system_paging_io_bytes_total", "counter", "bytes", "Bytes swapped in and out.", "system_paging_direction")
	pagingFaults      = define("system_paging_faults_total", "counter", "", "Page faults.", "system_paging_fault_type")

	fsUtilization = define("system_filesystem_utilization_ratio", "gauge", "ratio", "Share of a file system in a state; of what an ordinary user may fill.", "system_filesystem_mountpoint", "system_filesystem_state", "system_device")
	fsUsage       = define("system_filesystem_usage_bytes", "gauge", "bytes", "Bytes of a file system in a state.", "system_filesystem_mountpoint", "system_filesystem_state", "system_device")
	fsLimit       = define("system_filesystem_limit_bytes", "gauge", "bytes", "Size of a file system.", "system_filesystem_mountpoint", "system_filesystem_type", "system_device")
	fsInodes      = define("system_filesystem_inodes_utilization_ratio", "gauge", "ratio", "Share of a file system's inodes in a state.", "system_filesystem_mountpoint", "system_filesystem_state", "system_device")

	diskIO         = define("system_disk_io_bytes_total", "counter", "bytes", "Bytes read and written.", "disk_io_direction", "system_device")
	diskOperations = define("system_disk_operations_total", "counter", "", "Operations done.", "disk_io_direction", "system_device")
	diskIOTime     = define("system_disk_io_time_seconds_total", "counter", "seconds", "Time in which the disk had something to do.", "system_device")
	diskOpTime     = define("system_disk_operation_time_seconds_total", "counter", "seconds", "Sum of the time that operations took.", "disk_io_direction", "system_device")

	netIO      = define("system_network_io_bytes_total", "counter", "bytes", "Bytes received and sent.", "network_io_direction", "network_interface_name")
	netPackets = define("system_network_packet_count_total", "counter", "", "Packets received and sent.", "network_io_direction", "network_interface_name")
	netErrors  = define("system_network_errors_total", "counter", "", "Packets that came or went wrong.", "network_io_direction", "network_interface_name")
	netDropped = define("system_network_packet_dropped_total", "counter", "", "Packets dropped without being wrong.", "network_io_direction", "network_interface_name")

	containerUsage     = define("container_memory_usage_bytes", "gauge", "bytes", "Memory of the control group that Homeostat runs in, where it has a limit.")
	containerAvailable = define("container_memory_available_bytes", "gauge", "bytes", "What that control group may still take.")

	uptime     = define("system_uptime_seconds", "gauge", "seconds", "Time since the machine started.")
	targetInfo = define("target_info", "gauge", "", "What this machine is.", "os_type", "host_arch")
)

// metadata is what is told of all of them, once a start.
var metadata = func() []signal.Meta {
	var ms []signal.Meta
	for _, m := range []*metric{
		cpuUtilization, cpuTime, cpuLogical, load1, load5, load15,
		memoryUtilization, memoryUsage, memoryLimit,
		pagingUtilization, pagingUsage, pagingIO, pagingFaults,
		fsUtilization, fsUsage, fsLimit, fsInodes,
		diskIO, diskOperations, diskIOTime, diskOpTime,
		netIO, netPackets, netErrors, netDropped,
		containerUsage, containerAvailable, uptime, targetInfo,
	} {
		ms = append(ms, m.Meta)
	}
	return ms
}()
