"""What may be done."""

import strawberry

from resolvers import accounts, balances, divisions, webhooks
from schema.accounts import CreateAccountInput, CreateAccountPayload, UpdateAccountInput, UpdateAccountPayload
from schema.balances import (
    BATCH_SIZE,
    AccountBalanceInput,
    BatchAccountBalancesInput,
    BatchItemResult,
    BatchResult,
    CorrectAccountBalanceInput,
    CorrectAccountBalancePayload,
    CreateBankAccountBalanceInput,
    CreateBankAccountBalancePayload,
)
from schema.directory import (
    CreateContactInput,
    CreateContactPayload,
    CreateContractorInput,
    CreateContractorPayload,
    CreateInvoiceTemplateInput,
    CreateInvoiceTemplatePayload,
)
from schema.divisions import CreateDivisionInput, CreateDivisionPayload
from schema.events import CreateWebhookInput, CreateWebhookPayload, DeleteWebhookPayload
from schema.fields import answered
from schema.histories import (
    CreateAccountBalanceHistoryConfigInput,
    CreateAccountBalanceHistoryConfigPayload,
    UpdateAccountBalanceHistoryConfigInput,
    UpdateAccountBalanceHistoryConfigPayload,
)


@strawberry.type
class Mutation:
    create_account: CreateAccountPayload | None = answered(
        accounts.create, "YETI: POST /api/rest/admin/accounts.", input=CreateAccountInput
    )
    update_account: UpdateAccountPayload | None = answered(
        accounts.update,
        "Partial: a field that is left out stays, null clears it.",
        id=strawberry.ID,
        input=UpdateAccountInput,
    )
    create_bank_account_balance: CreateBankAccountBalancePayload | None = answered(
        balances.create,
        "24SevenOffice: POST /bankaccounts/{id}/balances. Appends one entry.",
        bankAccountId=strawberry.ID,
        input=CreateBankAccountBalanceInput,
    )
    correct_account_balance: CorrectAccountBalancePayload | None = answered(
        balances.correct,
        "Appends an entry that is the current balance plus a signed amount.",
        accountId=strawberry.ID,
        input=CorrectAccountBalanceInput,
    )
    register_batch_account_balances: BatchResult | None = answered(
        balances.register,
        "AMLYZE: POST (formerly PUT) /batch-account-balances. One result for each item, in input order.",
        costs=[BATCH_SIZE],
        input=BatchAccountBalancesInput,
    )
    update_account_balance: BatchItemResult | None = answered(
        balances.update, "AMLYZE: PUT /account-balance. A batch of one.", input=AccountBalanceInput
    )
    create_account_balance_history_config: CreateAccountBalanceHistoryConfigPayload | None = answered(
        divisions.create_config,
        "Pismo: POST /bank-statements/v1/account-balances/history/config.",
        input=CreateAccountBalanceHistoryConfigInput,
    )
    update_account_balance_history_config: UpdateAccountBalanceHistoryConfigPayload | None = answered(
        divisions.update_config,
        "Pismo: PATCH /bank-statements/v1/account-balances/history/config/{divisionCode}.",
        divisionCode=str,
        businessUnit=str | None,
        input=UpdateAccountBalanceHistoryConfigInput,
    )
    create_division: CreateDivisionPayload | None = answered(divisions.create_division, input=CreateDivisionInput)
    create_contractor: CreateContractorPayload | None = answered(
        divisions.create_contractor, input=CreateContractorInput
    )
    create_contact: CreateContactPayload | None = answered(divisions.create_contact, input=CreateContactInput)
    create_invoice_template: CreateInvoiceTemplatePayload | None = answered(
        divisions.create_invoice_template, input=CreateInvoiceTemplateInput
    )
    create_webhook: CreateWebhookPayload | None = answered(webhooks.create, input=CreateWebhookInput)
    delete_webhook: DeleteWebhookPayload | None = answered(webhooks.delete, id=strawberry.ID)
