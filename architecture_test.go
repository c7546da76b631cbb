// Package architecture_test holds the import rules of docs/ARCHITECTURE.md.
package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/flowtap/flowtap/"

// mayImport says which of our packages each of them may import. A package that is not listed
// fails the test: give it its place.
var mayImport = map[string][]string{
	"openflow":         {},
	"openflow/flowset": {"openflow"},
	"openflow/ofconn":  {"fairlisten", "seldom", "openflow"},
	"openflow/ofsim":   {"openflow", "openflow/flowset"},
	"topology":         {"openflow"},
	"access":           {"topology"},
	"flowtap":          {"openflow", "topology"},
	"flowtap/pipeline": {"openflow", "openflow/flowset", "topology", "flowtap"},
	"flowtap/trace":    {"openflow", "openflow/flowset", "openflow/ofsim", "topology", "flowtap", "flowtap/pipeline"},
	"store":            {"access", "openflow", "topology", "flowtap"},
	"policy":           {"access", "topology", "flowtap", "flowtap/placement", "flowtap/ftc", "flowtap/ftc/lang", "flowtap/ftc/program", "flowtap/ftc/eval", "store"},
	"controller":       {"openflow", "openflow/flowset", "openflow/ofconn", "openflow/ofsim", "topology", "flowtap", "flowtap/pipeline", "flowtap/trace", "store"},
	"load":             {"topology", "flowtap/placement", "store"},
	"replica":          {"fairlisten", "openflow", "openflow/ofconn"},
	"northbound":       {"access", "fairlisten", "openflow", "topology", "flowtap", "flowtap/ftc", "flowtap/trace", "store"},
	"tlsfiles":         {},
	"seldom":           {},
	"gate":             {"fairlisten", "seldom", "tlsfiles", "openflow", "openflow/ofconn", "store"},
	"fairlisten":       {},
	"pki":              {},
	"cmd/flowtapd":     {"fairlisten", "gate", "tlsfiles", "openflow", "openflow/flowset", "openflow/ofconn", "flowtap", "flowtap/trace", "controller", "load", "northbound", "policy", "replica", "store", "topology"},
	"cmd/rest":         {"tlsfiles"},
	"cmd/flowtapctl":   {"cmd/rest", "pki", "tlsfiles", "topology", "flowtap", "flowtap/trace", "northbound"},
	// Black box: what the clients of a history know is HTTP.
	"test/chaos/history": {},

	"flowtap/placement":   {"topology", "flowtap"},
	"flowtap/ftc/lang":    {},
	"flowtap/ftc/program": {"flowtap/ftc/lang"},
	"flowtap/ftc/eval":    {"flowtap/ftc/lang", "flowtap/ftc/program"},
	"flowtap/ftc":         {"topology", "flowtap", "flowtap/placement", "flowtap/ftc/lang", "flowtap/ftc/program", "flowtap/ftc/eval"},
	"cmd/ftc":             {"cmd/rest", "flowtap", "flowtap/placement", "flowtap/ftc", "flowtap/ftc/lang", "flowtap/ftc/program", "flowtap/ftc/eval"},
}

// testHelpers are packages that only tests import.
var testHelpers = []string{"openflow/ofsim/ovstest", "openflow/ofsim/simswitch"}

// pure packages, and all under flowtap/, are functions from values to values: no context, clock, logger, goroutine or I/O.
var pure = []string{"openflow", "openflow/flowset", "openflow/ofsim", "topology", "access", "flowtap"}

var impureImports = []string{"context", "log", "log/slog", "os", "os/exec", "net/http", "sync", "sync/atomic", "io/fs", "math/rand", "math/rand/v2"}

var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"net":  {"Dial", "DialTimeout", "Listen", "ListenPacket", "LookupHost", "LookupIP"},
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	each(t, func(pkg, file string, f *ast.File) {
		seen[pkg] = true
		allowed, listed := mayImport[pkg]
		if !listed && !slices.Contains(testHelpers, pkg) {
			t.Errorf("%s: package %s has no place in mayImport", file, pkg)
			return
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if ours, ok := strings.CutPrefix(path, module); ok && listed && !slices.Contains(allowed, ours) {
				t.Errorf("%s: %s may not import %s", file, pkg, ours)
			}
		}
	})
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("mayImport lists %s, which does not exist", pkg)
		}
	}
}

func TestPurePackages(t *testing.T) {
	each(t, func(pkg, file string, f *ast.File) {
		if !slices.Contains(pure, pkg) && !strings.HasPrefix(pkg, "flowtap/") {
			return
		}
		for _, i := range f.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); slices.Contains(impureImports, path) {
				t.Errorf("%s: pure package %s imports %s", file, pkg, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: pure package %s starts a goroutine", file, pkg)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[x.Name], n.Sel.Name) {
					t.Errorf("%s: pure package %s calls %s.%s", file, pkg, x.Name, n.Sel.Name)
				}
			}
			return true
		})
	})
}

// each parses every Go file that is not a test.
func each(t *testing.T, look func(pkg, file string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		look(filepath.ToSlash(filepath.Dir(path)), path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
