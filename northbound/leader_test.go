package northbound

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The list of replicas is there, and empty, where nobody knows of any.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	a := w.must(200, "GET", "/v1/replicas", "")
	require.Empty(t, a.at("items"))
	w.must(400, "GET", "/v1/replicas?nonsense=1", "")
}
