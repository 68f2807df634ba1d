package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

func TestOfSeveralGroupsTheHighestRoleCounts(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		id := d.provision("victim")
		group := func(name string) string {
			return "/Groups/" + fmt.Sprint(d.send(201, http.MethodPost, "/Groups", `{"displayName":"`+name+`","members":[{"value":"`+id+`"}]}`)["id"])
		}
		is := func(want string) {
			t.Helper()
			if m := d.member(id); m["role"] != want {
				t.Errorf("somebody is %v, not %s", m["role"], want)
			}
		}
		group("Everybody")
		is("org_member")
		auditors := group("Finance & Audit")
		is("org_auditor")
		admins := group("Admins")
		is("org_admin")
		d.patch(204, auditors, `{"op":"remove","path":"members"}`)
		if g := d.send(200, http.MethodGet, auditors, ""); g["members"] != nil {
			t.Errorf("an emptied group is %v", g)
		}
		is("org_admin")
		d.patch(204, auditors, `{"op":"add","path":"members","value":{"value":"`+id+`"}}`)
		d.patch(204, admins, `{"op":"replace","path":"displayName","value":"Retired"}`)
		is("org_auditor")
		d.patch(204, admins, `{"op":"replace","path":"displayName","value":"Admins"}`)
		is("org_admin")

		// An owner stays one, and the last is shut out by nobody.
		owner := d.provision("org_owner")
		call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", as("org_owner")...)
		d.patch(204, admins, `{"op":"add","path":"members","value":[{"value":"`+owner+`"}]}`)
		d.patch(204, admins, `{"op":"remove","path":"members[value eq \"`+owner+`\"]"}`)
		if m := d.member(owner); m["role"] != "org_owner" {
			t.Errorf("an owner became %v", m["role"])
		}
		if e := d.patch(409, "/Users/"+owner, `{"op":"replace","path":"active","value":false}`); !strings.Contains(fmt.Sprint(e["detail"]), "last active owner") {
			t.Errorf("got %v", e)
		}
		d.send(409, http.MethodDelete, "/Users/"+owner, "")
		call(t, d.Server, 200, http.MethodPatch, "/api/v1/orgs/"+d.org+"/members/"+id, `{"role":"org_owner"}`, as("org_owner")...)
		d.send(204, http.MethodDelete, "/Users/"+owner, "")
	})
}

func TestRequestsThatAreNotSCIMAreRefusedInItsForm(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: mapped + "storage: {driver: memory}\n"})
	org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))["org_id"])
	_, key := newKey(t, s, "org_owner", "/api/v1/orgs/"+org+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)
	d := &directory{s, t, key, org}
	for filter, why := range map[string]string{
		`userName`: "invalidFilter", `userName eq`: "invalidFilter", `userName eq ann`: "invalidFilter", `userName eq "ann`: "invalidFilter", `userName eq "a\"`: "invalidFilter",
		`userName co "ann"`: "invalidFilter", `userName sw "a"`: "invalidFilter", `userName pr`: "invalidFilter", `not (userName eq "ann")`: "invalidFilter",
		`userName eq "a" or userName eq "b"`: "invalidFilter", `userName eq "a" and`: "invalidFilter", `userName eq "a"and active eq true`: "invalidFilter",
		`userName eq "a" and userName eq "b"`: "invalidFilter", `title eq "x"`: "invalidFilter", `userName eq 7`: "invalidFilter", `active eq 1`: "invalidFilter",
		`userName eq true`: "invalidFilter", `active eq "perhaps"`: "invalidFilter", `(userName eq "a")`: "invalidFilter", `emails[type eq "home"].value eq "a"`: "invalidFilter",
		`emails[type eq "work".value eq "a"`: "invalidFilter", `userName eq "\ud800"`: "invalidFilter", `' OR 1=1 --`: "invalidFilter", strings.Repeat("x", 3000): "invalidFilter",
		`userName[type eq "work"] eq "a"`: "invalidFilter", " and active eq true": "invalidFilter",
	} {
		if e := d.send(400, http.MethodGet, "/Users?filter="+url.QueryEscape(filter), ""); e["scimType"] != why || e["status"] != "400" {
			t.Errorf("%s: %v", filter, e)
		}
	}
	for _, filter := range []string{`userName eq "a"`, `members eq`, `displayName eq true`} {
		if e := d.send(400, http.MethodGet, "/Groups?filter="+url.QueryEscape(filter), ""); e["scimType"] != "invalidFilter" {
			t.Errorf("%s: %v", filter, e)
		}
	}
	for _, filter := range []string{`id eq "x"`, `userName eq "' OR '1'='1"`, `userName eq "none" and id eq "user_x"`} {
		if l := d.find("Users", filter); l["totalResults"] != 0.0 {
			t.Errorf("%s: %v", filter, l)
		}
	}
	id := d.provision("victim")
	for body, why := range map[string]string{
		`{}`: "invalidValue", `{"userName":"x"}`: "invalidValue", `{"userName":7,"externalId":"x"}`: "invalidValue", `{"userName":"","externalId":"x"}`: "invalidValue",
		`{"userName":"x","externalId":"x","active":"perhaps"}`: "invalidValue", `{"userName":"x","externalId":"x","emails":["a",{"value":7}]}`: "invalidValue",
		`{"userName":"x","externalId":"x","name":"x"}`: "invalidValue", `{"userName":"` + strings.Repeat("x", 256) + `","externalId":"x"}`: "invalidValue",
		`{"userName":"x","externalId":"a\u0000b"}`: "invalidValue", `[]`: "invalidSyntax", `{`: "invalidSyntax", `{"userName":"x","userName":"y"}`: "invalidSyntax",
	} {
		if e := d.send(400, http.MethodPost, "/Users", body); e["scimType"] != why {
			t.Errorf("%s: %v", body, e)
		}
	}
	for op, why := range map[string]string{
		`{"op":"move","path":"active","value":true}`: "invalidSyntax", `{"op":"remove"}`: "noTarget", `{"op":"replace","value":"x"}`: "invalidValue", `{"op":"replace","path":"active"}`: "invalidValue",
		`{"op":"replace","path":"id","value":"x"}`: "mutability", `{"op":"replace","path":"externalId","value":"other"}`: "mutability", `{"op":"remove","path":"externalId"}`: "mutability",
		`{"op":"remove","path":"active"}`: "invalidValue", `{"op":"remove","path":"userName"}`: "invalidValue", `{"op":"replace","path":"emails[","value":"x"}`: "invalidPath",
		`{"op":"replace","path":"emails[type co \"x\"].value","value":"x"}`: "invalidPath", `{"op":"replace","path":"a b","value":"x"}`: "invalidPath", `{"op":"replace","path":".","value":"x"}`: "invalidPath",
		`7`: "invalidSyntax", `{"op":7}`: "invalidValue",
	} {
		if e := d.patch(400, "/Users/"+id, op); e["scimType"] != why {
			t.Errorf("%s: %v", op, e)
		}
	}
	g := fmt.Sprint(d.send(201, http.MethodPost, "/Groups", `{"displayName":"G"}`)["id"])
	for op, why := range map[string]string{
		`{"op":"add","path":"members","value":[{"value":"nobody"}]}`: "invalidValue", `{"op":"add","path":"members","value":["x"]}`: "invalidValue", `{"op":"add","path":"members","value":[{}]}`: "invalidValue",
		`{"op":"remove","path":"members[display eq \"x\"]"}`: "invalidPath", `{"op":"remove","path":"displayName"}`: "invalidValue", `{"op":"add","path":"id","value":"x"}`: "mutability",
	} {
		if e := d.patch(400, "/Groups/"+g, op); e["scimType"] != why {
			t.Errorf("%s: %v", op, e)
		}
	}
	d.send(400, http.MethodPatch, "/Users/"+id, `{"Operations":[]}`)
	d.send(400, http.MethodGet, "/Users?count=many", "")
	d.send(404, http.MethodGet, "/Users/nobody", "")
	d.send(404, http.MethodPost, "/Bulk", `{}`)
	d.send(405, http.MethodPost, "/ServiceProviderConfig", `{}`)
	a, err := s.Do(t.Context(), http.MethodPost, "/scim/v2/Users", "userName=x", "Authorization", "Bearer "+key, "Content-Type", "application/x-www-form-urlencoded")
	if err != nil || a.Status != 415 || !strings.Contains(a.Body, "2.0:Error") {
		t.Errorf("a form: %d %s, %v", a.Status, a.Body, err)
	}
	if a, err := s.Do(t.Context(), http.MethodGet, "/scim/v2/Users", "", "Authorization", ""); err != nil || a.Status != 401 || !strings.Contains(a.Body, `"status":"401"`) {
		t.Errorf("without a key: %d %s, %v", a.Status, a.Body, err)
	}
}

func TestListsVersionsAndChosenAttributes(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		for i := range 5 {
			d.provision(fmt.Sprintf("u%d", i))
		}
		seen := map[any]bool{}
		for start := 1; start < 8; start += 2 {
			l := d.send(200, http.MethodGet, fmt.Sprintf("/Users?startIndex=%d&count=2", start), "")
			if l["totalResults"] != 5.0 || l["startIndex"] != float64(start) || float64(len(l["Resources"].([]any))) != l["itemsPerPage"] {
				t.Errorf("from %d on: %v", start, l)
			}
			for _, u := range l["Resources"].([]any) {
				seen[u.(map[string]any)["id"]] = true
			}
		}
		if len(seen) != 5 {
			t.Errorf("a walk meets %d", len(seen))
		}
		for query, n := range map[string]int{"count=0": 0, "count=-3": 0, "startIndex=-7&count=999": 5, "startIndex=4": 2, "startIndex=99": 0} {
			if l := d.send(200, http.MethodGet, "/Users?"+query, ""); len(l["Resources"].([]any)) != n || l["totalResults"] != 5.0 {
				t.Errorf("%s: %v", query, l)
			}
		}
		id := d.provision("victim")
		if u := d.send(200, http.MethodGet, "/Users/"+id+"?attributes=userName,name.givenName", ""); len(u) != 3 || u["userName"] == nil || u["id"] == nil || u["schemas"] == nil {
			t.Errorf("chosen are %v", u)
		}
		if u := d.send(200, http.MethodGet, "/Users/"+id+"?excludedAttributes=USERNAME,id", ""); u["userName"] != nil || u["id"] == nil || u["active"] == nil {
			t.Errorf("but for some it is %v", u)
		}
		tag := fmt.Sprint(d.send(200, http.MethodGet, "/Users/"+id, "")["meta"].(map[string]any)["version"])
		d.send(304, http.MethodGet, "/Users/"+id, "", "If-None-Match", tag)
		body := `{"Operations":[{"op":"replace","path":"displayName","value":"x"}]}`
		d.send(412, http.MethodPatch, "/Users/"+id, body, "If-Match", `"99"`)
		d.send(200, http.MethodPatch, "/Users/"+id, body, "If-Match", "W/"+tag)
		d.send(412, http.MethodPatch, "/Users/"+id, body, "If-Match", tag)
		d.send(412, http.MethodDelete, "/Users/"+id, "", "If-Match", tag)
		// What an administrator changes is another version, too.
		tag = fmt.Sprint(d.send(200, http.MethodGet, "/Users/"+id, "")["meta"].(map[string]any)["version"])
		call(t, d.Server, 200, http.MethodPatch, "/api/v1/orgs/"+d.org+"/members/"+id, `{"status":"suspended"}`, as("org_admin")...)
		if u := d.send(200, http.MethodGet, "/Users/"+id, "", "If-None-Match", tag); u["active"] != false {
			t.Errorf("shut out by an administrator: %v", u)
		}
		g := d.send(201, http.MethodPost, "/Groups", `{"displayName":"G","members":[{"value":"`+id+`"}]}`)
		group, old := "/Groups/"+fmt.Sprint(g["id"]), fmt.Sprint(g["meta"].(map[string]any)["version"])
		d.send(204, http.MethodDelete, "/Users/"+id, "")
		if g := d.send(200, http.MethodGet, group, "", "If-None-Match", old); g["members"] != nil {
			t.Errorf("who is removed is in %v", g)
		}
		d.send(412, http.MethodPut, group, `{"displayName":"H"}`, "If-Match", old)
		d.send(200, http.MethodPut, group, `{"displayName":"H"}`)
		c := d.send(200, http.MethodGet, "/ServiceProviderConfig", "")
		if c["bulk"].(map[string]any)["supported"] != false || c["patch"].(map[string]any)["supported"] != true || c["filter"].(map[string]any)["maxResults"] != 200.0 {
			t.Errorf("got %v", c)
		}
		for _, path := range []string{"/ResourceTypes", "/Schemas"} {
			for _, r := range d.send(200, http.MethodGet, path, "")["Resources"].([]any) {
				one := r.(map[string]any)
				if got := d.send(200, http.MethodGet, path+"/"+fmt.Sprint(one["id"]), ""); got["id"] != one["id"] {
					t.Errorf("got %v", got)
				}
			}
		}
	})
}

func TestAProvisioningKeyDoesNothingElse(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		mine := []string{"Authorization", "Bearer " + d.key}
		if a := d.Chat(t, kit.Ask("demo/echo", "hello"), mine...); a.Status != 403 || !strings.Contains(a.Body, "insufficient_permissions") {
			t.Errorf("it chats: %d %s", a.Status, a.Body)
		}
		for _, path := range []string{"/v1/models", "/api/v1/sessions", "/api/v1/orgs/" + d.org, "/api/v1/orgs/" + d.org + "/members"} {
			call(t, d.Server, 403, http.MethodGet, path, "", mine...)
		}
		if m := object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", mine...)); fmt.Sprint(m["permissions"]) != "[me:read scim:write]" {
			t.Errorf("it may %v", m["permissions"])
		}
		for _, who := range []string{"org_member", "org_admin"} { // who provisions can remove owners
			call(t, d.Server, 403, http.MethodPost, "/api/v1/orgs/"+d.org+"/api-keys", `{"name":"x","service":"x","scim":true}`, as(who)...)
		}
		call(t, d.Server, 403, http.MethodGet, "/scim/v2/Users", "", as("org_admin")...)
		listed := object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/orgs/"+d.org+"/api-keys", "", as("org_admin")...))["data"].([]any)
		if len(listed) != 1 {
			t.Fatalf("the keys are %v", listed)
		}
		key := "/api/v1/orgs/" + d.org + "/api-keys/" + fmt.Sprint(listed[0].(map[string]any)["id"])
		call(t, d.Server, 403, http.MethodPost, key+"/rotate", "{}", as("org_admin")...) // the next one's credential would be theirs
		call(t, d.Server, 403, http.MethodPatch, key, `{"name":"x"}`, as("org_admin")...)
		call(t, d.Server, 400, http.MethodPost, "/api/v1/me/api-keys", `{"name":"x","scim":true}`, as("org_member")...)

		// Another organisation's provider sees and touches nothing of it.
		id := d.provision("victim")
		g := fmt.Sprint(d.send(201, http.MethodPost, "/Groups", `{"displayName":"G"}`)["id"])
		theirs := fmt.Sprint(object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))["org_id"])
		_, theirKey := newKey(t, d.Server, "eve", "/api/v1/orgs/"+theirs+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)
		eve := &directory{d.Server, t, theirKey, theirs}
		for _, path := range []string{"/Users/" + id, "/Groups/" + g} {
			eve.send(404, http.MethodGet, path, "")
			eve.send(404, http.MethodDelete, path, "")
			eve.patch(404, path, `{"op":"replace","path":"displayName","value":"x"}`)
		}
		own := fmt.Sprint(eve.send(201, http.MethodPost, "/Groups", `{"displayName":"G"}`)["id"])
		eve.patch(400, "/Groups/"+own, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`)
		if l := eve.send(200, http.MethodGet, "/Users", ""); l["totalResults"] != 0.0 {
			t.Errorf("got %v", l)
		}
	})
}

func TestWhatAProviderDoesIsRecordedWithoutNames(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		id := d.provision("victim")
		g := fmt.Sprint(d.send(201, http.MethodPost, "/Groups", `{"displayName":"Admins","members":[{"value":"`+id+`"}]}`)["id"])
		d.patch(200, "/Users/"+id, `{"op":"replace","value":{"active":false}}`)
		d.patch(400, "/Users/"+id, `{"op":"replace","path":"active","value":"perhaps"}`)
		d.send(409, http.MethodPost, "/Users", `{"userName":"other","externalId":"victim"}`)
		d.send(204, http.MethodDelete, "/Groups/"+g, "")
		d.send(204, http.MethodDelete, "/Users/"+id, "")
		a := call(t, d.Server, 200, http.MethodGet, "/api/v1/orgs/"+d.org+"/audit?limit=100", "", as("org_auditor")...)
		for text, n := range map[string]int{
			`"action":"member.added"`: 1, `"action":"member.changed"`: 3, `"action":"member.removed"`: 1, `"action":"group.created"`: 1, `"action":"group.removed"`: 1,
			`"status":"suspended"`: 1, "victim": 0, "example.com": 0, "Admins": 0, id: 0,
		} {
			if strings.Count(a.Body, text) != n {
				t.Errorf("%s is %d times in %s", text, strings.Count(a.Body, text), a.Body)
			}
		}
		for _, action := range []string{"member.removed", "group.removed"} {
			if a := call(t, d.Server, 200, http.MethodGet, "/api/v1/orgs/"+d.org+"/audit?action="+action, "", as("org_auditor")...); !strings.Contains(a.Body, `"ip":`) {
				t.Errorf("from where is not in %s", a.Body)
			}
		}
	})
}

func TestAGroupOfManyIsBounded(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: mapped + "storage: {driver: memory}\n"})
	org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))["org_id"])
	_, key := newKey(t, s, "org_owner", "/api/v1/orgs/"+org+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)
	d := &directory{s, t, key, org}
	var b strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&b, `,{"value":"user_01kdy7585ee008%010dke"}`, i)
	}
	if e := d.send(400, http.MethodPost, "/Groups", `{"displayName":"G","members":[`+b.String()[1:]+`]}`); !strings.Contains(fmt.Sprint(e["detail"]), "10000 members") {
		t.Errorf("got %v", e)
	}
	started := time.Now()
	ids := make([]string, 300)
	for i := range ids {
		ids[i] = `{"value":"` + d.provision(fmt.Sprintf("u%d", i)) + `"}`
	}
	g := d.send(201, http.MethodPost, "/Groups", `{"displayName":"Admins","members":[`+strings.Join(ids, ",")+`]}`)
	if len(g["members"].([]any)) != 300 {
		t.Errorf("%d members", len(g["members"].([]any)))
	}
	t.Logf("300 users and their group in %v", time.Since(started))
	if l := d.send(200, http.MethodGet, "/Users?count=1000", ""); l["itemsPerPage"] != 200.0 {
		t.Errorf("a page has %v", l["itemsPerPage"])
	}
}
