variable "name" {
  description = "Name of the vault."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "tenant_id" {
  description = "Entra tenant of the subscription."
  type        = string
}

variable "subnet_id" {
  description = "Subnet from which the node reads."
  type        = string
}

variable "reader_id" {
  description = "Principal of the node."
  type        = string
}

variable "administrator" {
  description = "Entra group that may write certificates."
  type        = object({ name = string, id = string })
}

variable "administrator_addresses" {
  description = "From where certificates may be written."
  type        = list(string)
}
