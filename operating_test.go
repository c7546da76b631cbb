package architecture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOperatingPage types the lines of flowtapctl pki that docs/OPERATING.md has, and looks for each option of
// flowtapd and each file that the page speaks of.
func TestOperatingPage(t *testing.T) {
	if short(t) {
		return
	}
	page, err := os.ReadFile("docs/OPERATING.md")
	require.NoError(t, err)
	bin, dir := programs(t), t.TempDir()
	help := func(args ...string) string {
		out, err := exec.Command(filepath.Join(bin, args[0]), append(args[1:], "--help")...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	daemon := help("flowtapd")
	typed := 0
	for _, line := range lines(string(page)) {
		words := strings.Fields(line)
		switch words[0] {
		case "flowtapctl":
			cmd := exec.Command(filepath.Join(bin, words[0]), words[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s: %s", line, out)
		case "flowtapd":
			for i, word := range words {
				if strings.HasPrefix(word, "--") {
					require.Regexp(t, word+"( |$)", daemon, "flowtapd has no option %s", word)
				} else if strings.HasSuffix(word, ".pem") {
					require.FileExists(t, filepath.Join(dir, "pki", word), words[i-1])
				}
			}
		default:
			continue
		}
		typed++
	}
	require.Greater(t, typed, 5, "the page has commands")
	others := regexp.MustCompile(`--(quota-backend-bytes|auto-compaction-retention|bump-revision|client-cert-auth)$`) // etcd's
	known := daemon + help("flowtapctl", "create", "node") + help("flowtapctl", "pki", "issue")
	for _, option := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(string(page), -1) {
		if !others.MatchString(option[1]) {
			require.Regexp(t, option[1]+"( |$)", known, "there is no option %s", option[1])
		}
	}
}

// TestSecurityPageNamesTestsThatExist holds SECURITY.md to the tree.
func TestSecurityPageNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all.Write(b)
		}
		return err
	}))
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, all.String(), "func "+name[1]+"(", "SECURITY.md names a test that is not there")
	}
}
