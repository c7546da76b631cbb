package ftc

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// MaxFacts is how many rows one file of facts may have.
const MaxFacts = 5_000_000

// ReadFacts reads rows from JSON, {"table": [[value, ...], ...]}, in the order of the file. A number with a
// point or an exponent is a float, any other an integer.
func ReadFacts(b []byte) ([]eval.Change, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := delim(d, '{', `an object, {"table": [[value, ...], ...]}`); err != nil {
		return nil, err
	}
	var facts []eval.Change
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		table := t.(string) // names are all that there can be
		if seen[table] {
			return nil, fmt.Errorf("table %s is there twice", table)
		}
		seen[table] = true
		if err := delim(d, '[', "a list of rows"); err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
		width := -1
		for n := 1; d.More(); n++ {
			row, err := readRow(d)
			if err == nil && width >= 0 && len(row) != width {
				err = fmt.Errorf("it has %d columns, the first row has %d", len(row), width)
			}
			if err == nil && len(facts) == MaxFacts {
				err = fmt.Errorf("more than %d rows", MaxFacts)
			}
			if err != nil {
				return nil, fmt.Errorf("table %s, row %d: %w", table, n, err)
			}
			width = len(row)
			facts = append(facts, eval.Change{Table: table, Row: row})
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the object")
	}
	return facts, nil
}

func delim(d *json.Decoder, want json.Delim, what string) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("want %s, not %v", what, t)
	}
	return nil
}

func readRow(d *json.Decoder) ([]lang.Value, error) {
	if err := delim(d, '[', "a row, [value, ...]"); err != nil {
		return nil, err
	}
	row := []lang.Value{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := jsonValue(t)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", len(row), err)
		}
		row = append(row, v)
	}
	_, err := d.Token()
	return row, err
}

func jsonValue(t json.Token) (lang.Value, error) {
	switch v := t.(type) {
	case string:
		return lang.Str(v), nil
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			i, err := strconv.ParseInt(v.String(), 10, 64)
			if err != nil {
				return lang.Value{}, fmt.Errorf("%s does not fit into 64 bits", v)
			}
			return lang.Integer(i), nil
		}
		f, err := v.Float64()
		if err != nil || math.IsInf(f, 0) {
			return lang.Value{}, fmt.Errorf("%s is too large for a float", v)
		}
		return lang.Real(f), nil
	}
	return lang.Value{}, fmt.Errorf("%v is neither a string nor a number, which is all that values can be", t)
}

// ReadCSV reads a table from comma-separated values: the first line names the columns. A field that is
// a number as the language spells it, without zeros in front, is one; all else is a string.
func ReadCSV(table string, b []byte) ([]program.Column, []eval.Change, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))) // spreadsheets begin with a byte order mark
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the first line has the names of the columns, and there is none")
	}
	if err != nil {
		return nil, nil, err
	}
	cols, err := columns(table, header)
	if err != nil {
		return nil, nil, err
	}
	var facts []eval.Change
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return cols, facts, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(facts) == MaxFacts {
			return nil, nil, fmt.Errorf("more than %d rows", MaxFacts)
		}
		row := make([]lang.Value, len(fields))
		for i, f := range fields {
			if !utf8.ValidString(f) {
				return nil, nil, fmt.Errorf("row %d: not UTF-8", len(facts)+1)
			}
			row[i] = csvValue(f)
		}
		facts = append(facts, eval.Change{Table: table, Row: row})
	}
}

func csvValue(s string) lang.Value {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(i, 10) == s {
		return lang.Integer(i)
	}
	if strings.ContainsAny(s, "0123456789") && strings.Trim(s, "0123456789.eE+-") == "" && strings.ContainsAny(s, ".eE") {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return lang.Real(f)
		}
	}
	return lang.Str(s)
}

// ReadSchemas reads the tables of data sources from JSON, {"service:table": ["column", ...]}.
func ReadSchemas(b []byte) (program.Schemas, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	var m map[string][]string
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("there is more behind the object")
	}
	s := program.Schemas{}
	for table, names := range m {
		cols, err := columns(table, names)
		if err != nil {
			return nil, err
		}
		s[table] = cols
	}
	return s, nil
}

func columns(table string, names []string) ([]program.Column, error) {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return nil, fmt.Errorf("table %s has the column %s twice", table, n)
		}
		seen[n] = true
	}
	return program.Columns(names...), nil
}

// AppendJSON writes values as JSON, so that ReadFacts reads the same ones.
func AppendJSON(b []byte, row []lang.Value) []byte {
	b = append(b, '[')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',', ' ')
		}
		if v.Kind == lang.String {
			var s bytes.Buffer
			enc := json.NewEncoder(&s)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(v.S) // a string never fails
			b = append(b, bytes.TrimSuffix(s.Bytes(), []byte("\n"))...)
		} else {
			b = append(b, v.Text()...)
		}
	}
	return append(b, ']')
}
