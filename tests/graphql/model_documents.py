"""The documents that the model and the gateways are asked."""

_FAULTS = "userErrors { code path documentedCode }"
_RESULT = "resultType index communicationNumber accountExtId errorCode errorField sameContent balance { id }"
_BATCH = f"acceptedCount rejectedCount results {{ {_RESULT} }}"
_CONFIGURED = f"balanceHistoryConfig {{ id cycleConfigValidity {{ start }} }} {_FAULTS}"
_RECORDED = f"balance {{ id amount timestamp }} {_FAULTS}"
MUTATIONS = {
    "createAccount": ("$input: CreateAccountInput!", f"account {{ id }} {_FAULTS}"),
    "updateAccount": ("$id: ID!, $input: UpdateAccountInput!", f"account {{ id }} {_FAULTS}"),
    "createBankAccountBalance": ("$bankAccountId: ID!, $input: CreateBankAccountBalanceInput!", _RECORDED),
    "correctAccountBalance": ("$accountId: ID!, $input: CorrectAccountBalanceInput!", _RECORDED),
    "registerBatchAccountBalances": ("$input: BatchAccountBalancesInput!", _BATCH),
    "updateAccountBalance": ("$input: AccountBalanceInput!", _RESULT),
    "createAccountBalanceHistoryConfig": ("$input: CreateAccountBalanceHistoryConfigInput!", _CONFIGURED),
    "updateAccountBalanceHistoryConfig": (
        "$divisionCode: String!, $businessUnit: String, $input: UpdateAccountBalanceHistoryConfigInput!",
        _CONFIGURED,
    ),
    "createDivision": ("$input: CreateDivisionInput!", f"division {{ id }} {_FAULTS}"),
    "createContractor": ("$input: CreateContractorInput!", f"contractor {{ id }} {_FAULTS}"),
    "createContact": ("$input: CreateContactInput!", f"contact {{ id }} {_FAULTS}"),
    "createInvoiceTemplate": ("$input: CreateInvoiceTemplateInput!", f"invoiceTemplate {{ id }} {_FAULTS}"),
    "createWebhook": ("$input: CreateWebhookInput!", f"webhook {{ id }} {_FAULTS}"),
    "deleteWebhook": ("$id: ID!", f"deletedId {_FAULTS}"),
}
"""The variables of each mutation, which are its arguments, and what is asked back."""


def mutation(name: str) -> str:
    variables, asked = MUTATIONS[name]
    arguments = ", ".join(
        f"{part.split(':')[0].strip('$ ')}: {part.split(':')[0].strip()}" for part in variables.split(",")
    )
    return f"mutation ({variables}) {{ made: {name}({arguments}) {{ {asked} }} }}"


VALIDATE = f"""query ($input: BatchAccountBalancesInput!) {{
  made: validateBatchAccountBalances(input: $input) {{ {_BATCH} }} }}"""

CONTACT = "{ id email name }"
ENTRY = """id account { id } amount timestamp currency { code } balanceType equivalentValue communicationNumber
  requester recordedAt recordedBy"""
ROW = "businessDate closingAt currency { code } opening closing change"
EVENT = "type subject time data businessUnit"
ONE_ACCOUNT = f"""id uuid name externalId businessUnit division {{ id }} contractor {{ id }} currency {{ code }} balance
  currentBalance {{ {ENTRY} }} currentBalances {{ id }} balances {{ totalCount }}
  balanceHistory(first: 10) {{ totalCount nodes {{ {ROW} }} }}
  minBalance maxBalance balanceLowThreshold balanceHighThreshold thresholdState vat originationCapacity
  terminationCapacity totalCapacity destinationRateLimit maxCallDuration invoicePeriod invoiceTemplate {{ id }}
  sendInvoicesTo {CONTACT} sendBalanceNotificationsTo {CONTACT} timezone createdAt updatedAt"""
EVERYTHING = f"""{{
  accounts(first: 40) {{ nodes {{ {ONE_ACCOUNT} }} }}
  divisions(first: 20) {{ nodes {{ id code name businessUnit timezone parent {{ id }} nextClosingAt
    balanceHistoryConfig {{ id }} pendingBalanceHistoryConfig {{ id }}
    balanceHistoryConfigs(first: 20) {{ nodes {{
      id cycleClosingTime cycleEventDelay status cycleConfigValidity {{ start end }} }} }}
    cycleClosings(first: 10) {{ totalCount nodes {{ businessDate closingAt accountCount completedAt }} }}
    accounts {{ totalCount }} }} }}
  contractors(first: 50) {{ nodes {{ id name businessUnit externalId isCustomer isVendor accounts {{ totalCount }}
    contacts(first: 20) {{ nodes {CONTACT} }} }} }}
  invoiceTemplates(first: 50) {{ nodes {{ id name businessUnit }} }}
  webhooks(first: 50) {{ nodes {{ id url eventTypes businessUnit createdAt pendingCount }} }}
  events(last: 60) {{ totalCount nodes {{ {EVENT} }} }}
  viewer {{ subject businessUnits }} }}"""

GLANCE = f"""{{
  accounts(first: 40) {{ nodes {{
    id balance currentBalance {{ id }} thresholdState updatedAt balances {{ totalCount }} }} }}
  events(last: 40) {{ nodes {{ {EVENT} }} }} }}"""

_PAGE_VARIABLES = "$first: Int, $after: String, $last: Int, $before: String"
_PAGE_ARGUMENTS = "first: $first, after: $after, last: $last, before: $before"


def _page_of(field: str, variables: str, arguments: str, node: str, *, of_account: bool = False) -> str:
    """The document of a page of a list: all that there is, or an account's."""
    page = f"""page: {field}({_PAGE_ARGUMENTS}, {arguments}) {{ totalCount
      pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} edges {{ cursor node {{ {node} }} }} }}"""
    if of_account:
        return f"query ({_PAGE_VARIABLES}, {variables}, $account: ID!) {{ of: account(id: $account) {{ {page} }} }}"
    return f"query ({_PAGE_VARIABLES}, {variables}) {{ {page} }}"


ACCOUNTS = _page_of(
    "accounts", "$filter: AccountFilter, $orderBy: AccountOrder", "filter: $filter, orderBy: $orderBy", "id balance"
)
_ENTRIES = ("balances", "$filter: BalanceFilter, $orderBy: BalanceOrder", "filter: $filter, orderBy: $orderBy")
ENTRIES, ENTRIES_OF_ONE = (_page_of(*_ENTRIES, ENTRY, of_account=one) for one in (False, True))
EVENTS = _page_of(
    "events",
    "$types: [String!], $subjects: [ID!], $time: DateTimeFilter",
    "types: $types, subjects: $subjects, time: $time",
    EVENT,
)
HISTORY = _page_of(
    "balanceHistory",
    "$from: Date, $to: Date, $currency: String",
    "from: $from, to: $to, currency: $currency",
    ROW,
    of_account=True,
)
AS_OF = f"""query ($account: ID!, $before: DateTime!, $currency: String, $kind: String) {{ account(id: $account) {{
  balanceAsOf(before: $before, currency: $currency, balanceType: $kind) {{ {ENTRY} }} }} }}"""
SERIES = """query ($account: ID!, $from: DateTime!, $before: DateTime!, $interval: SeriesInterval!, $currency: String,
  $zone: String) { account(id: $account) { balanceSeries(from: $from, before: $before, interval: $interval,
    currency: $currency, timezone: $zone) { start open low high close entryCount } } }"""
IDENTIFIED = f"""query ($identifier: AccountIdentifier!) {{ accountByIdentifier(identifier: $identifier) {{
  {ONE_ACCOUNT} }} }}"""
DIVISION = "query ($code: String!, $unit: String) { division(code: $code, businessUnit: $unit) { id } }"
NODES = """query ($ids: [ID!]!, $one: ID!) { nodes(ids: $ids) { id } node(id: $one) { id } }"""
FOLLOWED_EVENTS = f"""subscription ($types: [String!], $subjects: [ID!], $after: String) {{
  line: events(types: $types, subjects: $subjects, after: $after) {{ {EVENT} }} }}"""
FOLLOWED_ENTRIES = f"""subscription ($accountIds: [ID!], $after: String) {{
  line: balanceCreated(accountIds: $accountIds, after: $after) {{ {ENTRY} }} }}"""
READS = (
    ACCOUNTS,
    ENTRIES,
    EVENTS,
    AS_OF,
    IDENTIFIED,
    DIVISION,
    NODES,
    VALIDATE,
    EVERYTHING,
    FOLLOWED_EVENTS,
    FOLLOWED_ENTRIES,
)
