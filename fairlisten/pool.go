package fairlisten

// A pool is connections in the order in which they came, counted by source. Its methods look at all of
// them: there are a few thousand at most, and they are used when something happens to one.
type pool struct {
	all   []*Conn
	count map[string]int
}

func (p *pool) add(c *Conn) {
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.all = append(p.all, c)
	p.count[c.source]++
}

func (p *pool) remove(c *Conn) {
	for i, x := range p.all {
		if x == c {
			p.all = append(p.all[:i], p.all[i+1:]...)
			if p.count[c.source]--; p.count[c.source] == 0 {
				delete(p.count, c.source)
			}
			return
		}
	}
}

// heaviest is the source that has most; of several the one whose name is first.
func (p *pool) heaviest() string {
	most, found := "", -1
	for source, n := range p.count {
		if n > found || n == found && source < most {
			most, found = source, n
		}
	}
	return most
}

// lightest is the oldest connection of the source that has least in another pool, and there less than a
// limit; nil when there is none.
func (p *pool) lightest(other *pool, limit int) (found *Conn) {
	least := limit
	for _, c := range p.all {
		if n := other.count[c.source]; n < least {
			found, least = c, n
		}
	}
	return found
}

func (p *pool) oldestOf(source string) *Conn {
	for _, c := range p.all {
		if c.source == source {
			return c
		}
	}
	return nil
}

func (p *pool) newestOf(source string) *Conn {
	for i := len(p.all) - 1; i >= 0; i-- {
		if p.all[i].source == source {
			return p.all[i]
		}
	}
	return nil
}

func (p *pool) oldest() *Conn { return p.all[0] }
