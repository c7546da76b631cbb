package architecture_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeFirstTap types what README.md says under "A first tap".
func TestReadmeFirstTap(t *testing.T) {
	if short(t) {
		return
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	section := regexp.MustCompile("(?s)## A first tap\n\n```sh\n(.*?)```\n\n(.*?)Give it one").FindStringSubmatch(string(readme))
	require.NotNil(t, section, "README.md has no first tap")
	typed := strings.Split(strings.TrimSpace(section[1]), "\n")
	require.Equal(t, "make build && bin/flowtapd &", typed[0])
	promised := regexp.MustCompile("`(.+?)`").FindStringSubmatch(section[2])
	s := newSite(t)
	var last string
	for _, line := range typed[1:] {
		last = s.types(line)
	}
	require.Contains(t, last, "t1")
	s.says(typed[len(typed)-1], promised[1])
}

// TestAccessPage types every line of docs/ACCESS.md.
func TestAccessPage(t *testing.T) {
	if short(t) {
		return
	}
	page, err := os.ReadFile("docs/ACCESS.md")
	require.NoError(t, err)
	s := newSite(t)
	typed := lines(string(page))
	require.Greater(t, len(typed), 8)
	for _, line := range typed {
		s.types(line)
	}
	require.Contains(t, s.types("flowtapctl --project blue get taps"), "default/shared-ids")
	require.Contains(t, s.types("flowtapctl get audit --project blue"), "t2")
}
