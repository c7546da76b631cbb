package placement

import "math"

// Learned is what measurements have told of a monitor's CPU; zero is nothing yet. It is kept because a monitor that little is sent to
// says nothing of what it can bear, and would be taken for one that bears anything.
type Learned struct {
	// Idle is how much of its CPUs it uses while it receives next to nothing, 0 to 1.
	Idle float64 `json:"idle,omitempty"`
	// Bears is bytes a second for which all of its CPUs would be used; zero is unknown.
	Bears float64 `json:"bears,omitempty"`
}

const (
	// leastCPU is the use of CPU, besides the idle one, below which it says nothing of what a monitor can bear.
	leastCPU = 0.1
	// nothing is bytes a second that no monitor's CPU feels.
	nothing = 1000
)

// Add gives what is known after one more measurement: how much of its CPUs a monitor used, 0 to 1, and bytes a second that it received
// over the same time. Who uses less than was foreseen bears more.
func (l Learned) Add(cpu, received float64) Learned {
	if received < nothing {
		l.Idle = cpu
		return l
	}
	l.Idle = min(l.Idle, cpu)
	foreseen := 0.0
	if l.Bears > 0 {
		foreseen = (1 - l.Idle) * received / l.Bears
	}
	if work := cpu - l.Idle; max(work, foreseen) >= leastCPU {
		l.Bears = (1 - l.Idle) * received / max(work, leastCPU/10)
	}
	return l
}

// capacityOf gives what a monitor can bear, in bytes a second: the declared, or where its CPU would be used up
// first, that; and what its CPU alone can bear. Neither is below one.
func capacityOf(x Monitor, unknown float64) (capacity, byCPU float64) {
	byCPU = math.Inf(1)
	if x.Bears > 0 {
		byCPU = x.Bears
	}
	if work := x.CPU.Value - x.Idle; work >= leastCPU && x.Received.Value > 0 {
		byCPU = (1 - x.Idle) * x.Received.Value / work
	}
	if capacity = min(byCPU, x.Capacity); x.Capacity == 0 {
		capacity = byCPU
	}
	if math.IsInf(capacity, 1) {
		capacity = unknown
	}
	if math.IsInf(byCPU, 1) {
		byCPU = capacity
	}
	return max(capacity, 1), max(byCPU, 1)
}
